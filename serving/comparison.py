"""Two versions' answers to one request: the second is computed after the first was sent, compared and thrown away."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from serving.metrics import Comparison
from serving.protocol.errors import RequestError
from serving.protocol.tensors import Array
from serving.variants import Compared

MAX_WAITING = 32  # copies of requests held at once; those beyond are not compared
FLOAT_TOLERANCE = 0.1  # an answer that is all floating point numbers disagrees when one differs by more

Compute = Callable[[], dict[str, Array]]


def difference(first: dict[str, Array], second: dict[str, Array]) -> tuple[bool, float]:
    """Whether two answers to the same request decide otherwise, and the largest difference of a floating point number.

    Whole numbers and booleans are decisions (a label, a verdict): one that differs is a disagreement. An answer without
    any disagrees when its numbers differ by more than FLOAT_TOLERANCE. A number that is not finite is a disagreement.
    """
    decided = [name for name, array in first.items() if array.dtype.kind != "f"]
    floats = [name for name in first if name not in decided]
    gaps = [np.abs(first[name] - second[name]) for name in floats if first[name].size]
    largest = float(max((gap.max() for gap in gaps), default=0.0))
    if not np.isfinite(largest):
        return True, 0.0
    if decided:
        return any(not np.array_equal(first[name], second[name]) for name in decided), largest
    return largest > FLOAT_TOLERANCE, largest


class Comparer:
    """Compares in the background of one event loop, and never holds up a request: what is too much is dropped."""

    def __init__(self, count: Callable[[Comparison], None]) -> None:
        """`count` is told the outcome of each: agree, disagree, failed or dropped."""
        self.seen = Compared()
        self._count = count
        self._waiting = 0
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compare")

    def offer(self, answer: dict[str, Array], compute: Compute, *, quick: bool) -> None:
        """Compare `answer` with what `compute` gives, later. `quick`: it may run on the event loop."""
        if self._waiting >= MAX_WAITING:
            self._saw("dropped", Compared(dropped=1))
            return
        self._waiting += 1
        loop = asyncio.get_running_loop()
        if quick:
            loop.call_soon(self._compare_now, answer, compute)
        else:
            future = loop.run_in_executor(self._pool, _outcome, answer, compute)
            future.add_done_callback(lambda done: self._done(done.result()))

    def _compare_now(self, answer: dict[str, Array], compute: Compute) -> None:
        self._done(_outcome(answer, compute))

    def _done(self, outcome: tuple[Comparison, Compared]) -> None:
        self._waiting -= 1
        self._saw(*outcome)

    def _saw(self, outcome: Comparison, seen: Compared) -> None:
        self.seen += seen
        self._count(outcome)


def _outcome(answer: dict[str, Array], compute: Compute) -> tuple[Comparison, Compared]:
    try:
        other = compute()
    except RequestError:
        return "failed", Compared(failed=1)
    if any(array.dtype.kind == "f" and not np.isfinite(array).all() for array in other.values()):
        return "failed", Compared(failed=1)  # it would have been answered with a 500
    disagree, largest = difference(answer, other)
    if disagree:
        return "disagree", Compared(disagreed=1, max_difference=largest)
    return "agree", Compared(agreed=1, max_difference=largest)
