"""Batches fill, split, fail alone and let go of callers that left; shown by what the model received."""

import asyncio
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drillyard.core.errors import UsageError
from serving.protocol.asgi import ClientGoneError
from serving.protocol.errors import RequestError
from serving.protocol.patience import DeadlinePassedError, Patience
from serving.protocol.tensors import Array
from serving.protocol.v2 import InferRequest
from serving.recipes import Batching
from serving.runner import Runner

OUT = ("sum", "first")


class Model:
    """Answers each row by its sum; notes the rows of every call, and refuses a batch that holds the number 666."""

    def __init__(self, byte_time_s: float = 1.0, call_s: float = 0.0) -> None:
        self.byte_time_s, self._call_s = byte_time_s, call_s
        self.calls: list[int] = []
        self.seen: list[float] = []

    def predict(self, inputs: dict[str, Array], outputs: tuple[str, ...]) -> dict[str, Array]:
        rows = inputs["x"]
        self.calls.append(len(rows))
        self.seen += rows[:, 0].tolist()
        time.sleep(self._call_s)
        if (rows == 666).any():
            raise RequestError(500, "the model failed on 666")
        answers = {"sum": rows.sum(axis=tuple(range(1, rows.ndim))), "first": rows[:, 0]}
        return {name: answers[name] for name in outputs}


class Timings:
    def __init__(self) -> None:
        self.waits: list[float] = []
        self.rows: list[int] = []

    def queue_wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    def inference(self, seconds: float, rows: int) -> None:
        del seconds
        self.rows.append(rows)


def request(*values: float, width: int = 1, outputs: tuple[str, ...] = OUT) -> InferRequest:
    x = np.repeat(np.array(values, np.float32)[:, None], width, axis=1)
    return InferRequest(id=None, inputs={"x": x}, outputs=outputs)


def together(model: Model, batching: Batching, *requests: InferRequest) -> list[dict[str, Array] | BaseException]:
    """All requests asked at once; their answers or errors in order."""

    async def ask() -> list[dict[str, Array] | BaseException]:
        runner = Runner(model, Timings(), batching)
        try:
            return await asyncio.gather(*(runner.run(each) for each in requests), return_exceptions=True)
        finally:
            runner.close()

    return asyncio.run(ask())


def test_batches_fill_while_the_model_is_busy() -> None:
    model = Model(call_s=0.02)
    answers = together(model, Batching(max_rows=8), *(request(float(i)) for i in range(17)))
    assert model.calls == [1, 8, 8]  # the first goes at once; the others gather behind it
    assert [float(answer["sum"][0]) for answer in answers] == [float(i) for i in range(17)]


def test_a_lone_request_does_not_wait() -> None:
    model = Model()
    timings = Timings()

    async def ask() -> None:
        await Runner(model, timings, Batching(max_wait_s=0.0)).run(request(1.0))

    asyncio.run(ask())
    assert timings.waits[0] < 0.05


def test_waiting_gathers_requests_and_a_full_batch_does_not_wait() -> None:
    model = Model()
    began = time.monotonic()
    together(model, Batching(max_rows=4, max_wait_s=30.0), *(request(float(i)) for i in range(8)))
    assert model.calls == [4, 4]
    assert time.monotonic() - began < 10


def test_a_batch_that_does_not_fill_starts_after_its_wait() -> None:
    model = Model()
    together(model, Batching(max_rows=100, max_wait_s=0.05), request(1.0), request(2.0))
    assert model.calls == [2]


def test_quick_models_stay_on_the_event_loop_unbatched() -> None:
    model = Model(byte_time_s=1e-6)
    together(model, Batching(), *(request(float(i)) for i in range(5)))
    assert model.calls == [1] * 5


def test_one_large_row_leaves_the_event_loop_where_a_small_one_does_not() -> None:
    """A picture may be of any size, so the number of rows does not tell what a call costs."""
    inline, threads = threading.current_thread(), []

    class Watching(Model):
        def predict(self, inputs: dict[str, Array], outputs: tuple[str, ...]) -> dict[str, Array]:
            threads.append(threading.current_thread())
            return super().predict(inputs, outputs)

    for width in (1, 10_000):
        together(Watching(byte_time_s=1e-7), Batching(offload_s=0.0003), request(1.0, width=width))
    assert [thread is inline for thread in threads] == [True, False]


def test_only_inputs_of_equal_shape_share_a_call() -> None:
    model = Model()
    wide, narrow = (lambda v: request(v, width=3)), request
    answers = together(model, Batching(max_wait_s=0.02), wide(1.0), narrow(2.0), wide(3.0), narrow(4.0))
    assert sorted(model.calls) == [2, 2]
    assert [float(answer["sum"][0]) for answer in answers] == [3.0, 2.0, 9.0, 4.0]


def test_each_caller_gets_the_outputs_it_asked_for() -> None:
    first, both = together(
        Model(), Batching(max_wait_s=0.02), request(1.0, outputs=("first",)), request(2.0, outputs=("first", "sum"))
    )
    assert list(first) == ["first"]
    assert list(both) == ["first", "sum"]


def test_a_request_that_the_model_fails_on_fails_alone() -> None:
    model = Model()
    good, bad, also_good = together(
        model, Batching(max_wait_s=0.02), request(1.0), request(666.0), request(2.0, outputs=("sum",))
    )
    assert isinstance(bad, RequestError)
    assert float(good["sum"][0]) == 1.0
    assert float(also_good["sum"][0]) == 2.0
    assert model.calls == [3, 1, 1, 1]


def test_batches_are_filled_up_to_the_sizes_asked_for() -> None:
    model = Model()
    batching = Batching(max_rows=8, max_wait_s=0.02, sizes=(2, 4, 8))
    answers = together(model, batching, request(1.0), request(2.0, 3.0))
    assert model.calls == [4]
    assert [answer["first"].tolist() for answer in answers] == [[1.0], [2.0, 3.0]]


@pytest.mark.parametrize("sizes", [(4, 2), (2, 2), (2, 4)])
def test_sizes_that_cannot_hold_a_batch_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"batching\.sizes"):
        Batching(max_rows=8, sizes=sizes)


@pytest.mark.parametrize(
    ("patience", "error"),
    [
        (Patience(timeout_ms=5, deadline=0.0), DeadlinePassedError),
        (Patience(gone=lambda: True), ClientGoneError),
    ],
)
@pytest.mark.parametrize("byte_time_s", [1e-6, 1.0])
def test_what_nobody_waits_for_is_not_computed(patience: Patience, error: type[Exception], byte_time_s: float) -> None:
    model = Model(byte_time_s=byte_time_s)

    async def ask() -> None:
        await Runner(model, Timings(), Batching()).run(request(1.0), patience)

    with pytest.raises(error):
        asyncio.run(ask())
    assert model.calls == []


def test_a_caller_that_leaves_while_waiting_is_not_computed() -> None:
    model = Model(call_s=0.05)
    has_left = False

    async def ask() -> list[object]:
        nonlocal has_left
        runner = Runner(model, Timings(), Batching())
        first = asyncio.create_task(runner.run(request(1.0)))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(runner.run(request(2.0), Patience(gone=lambda: has_left)))
        third = asyncio.create_task(runner.run(request(3.0)))
        await asyncio.sleep(0)
        has_left = True
        return await asyncio.gather(first, second, third, return_exceptions=True)

    _, second, _ = asyncio.run(ask())
    assert isinstance(second, ClientGoneError)
    assert model.seen == [1.0, 3.0]


def test_a_cancelled_request_costs_nothing_and_disturbs_nobody() -> None:
    model = Model(call_s=0.03)

    async def ask() -> dict[str, Array]:
        runner = Runner(model, Timings(), Batching())
        running = asyncio.create_task(runner.run(request(1.0)))
        await asyncio.sleep(0.01)
        waiting = asyncio.create_task(runner.run(request(2.0)))
        await asyncio.sleep(0)
        waiting.cancel()
        running.cancel()
        return await runner.run(request(3.0))

    assert float(asyncio.run(ask())["sum"][0]) == 3.0
    assert model.seen == [1.0, 3.0]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    groups=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 2)), min_size=1, max_size=12),
    max_rows=st.integers(1, 8),
    padded=st.booleans(),
)
def test_everyone_gets_their_own_rows_in_calls_of_bounded_size(
    groups: list[tuple[int, int]], max_rows: int, padded: bool
) -> None:
    model = Model()
    batching = Batching(max_rows=max_rows, max_wait_s=0.001)
    batching = replace(batching, sizes=(max_rows,)) if padded else batching
    number = iter(range(1000))
    requests = [request(*(float(next(number)) for _ in range(rows)), width=width) for rows, width in groups]
    answers = together(model, batching, *requests)
    for asked, answer in zip(requests, answers, strict=True):
        assert isinstance(answer, dict)
        assert answer["first"].tolist() == asked.inputs["x"][:, 0].tolist()
    largest = max(rows for rows, _ in groups)
    assert all(rows <= max(max_rows, largest) for rows in model.calls)
