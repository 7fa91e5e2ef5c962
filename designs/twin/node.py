"""One machine's queues as numbers: what both simulators run. Times in seconds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
GRID = 4096  # points of the table that service times are drawn from
PAUSES_PER_S = 8.0  # of a replica


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A replica's model thread: it takes what has gathered, up to `max_rows`, whenever it is free."""

    call_s: float  # of a call with n rows: call_s + n * row_s
    row_s: float
    max_rows: int
    max_wait_s: float  # that the first of a batch waits for others while the thread is free

    def duration_s(self, rows: Array) -> Array:
        """(any shape) rows -> seconds."""
        return self.call_s + self.row_s * rows


@dataclass(frozen=True, kw_only=True)
class Node:
    """Proxy -> the replica with the fewest requests -> its event loop -> its model thread -> the caller."""

    replicas: int
    proxy_s: float  # fixed time of the one proxy
    loop_s: float  # mean time of an event loop
    loop_shape: Array  # (GRID,) ascending, mean 1: equally likely times of a loop over their mean
    pause_share: float = 0.0  # of a loop's requests that meet a pause: others have the core
    pause_s: float = 0.0  # mean of a pause; they are exponentially distributed
    batch: Batch | None  # None: the loop answers by itself
    delay_s: float  # added to each answered request, keeps nobody waiting
    max_ongoing: int  # requests in a replica at once; more wait at the proxy
    queue_timeout_s: float  # and are refused after this


def fixed() -> Array:
    """A shape without spread: every time is the mean."""
    return np.ones(GRID)


def exponential() -> Array:
    """The exponential distribution as a shape."""
    quantiles = -np.log1p(-(np.arange(GRID) + 0.5) / GRID)
    return quantiles / quantiles.mean()


def from_trace(trace: tuple[tuple[float, float], ...], spread: float) -> Array:
    """A measured trace as a shape: (percentile, time) pairs, their distance from the mean multiplied by `spread`.

    No time is below a twentieth of the mean.
    """
    percentiles, times = np.array(trace).T
    drawn = np.interp((np.arange(GRID) + 0.5) / GRID * 100, percentiles, times)
    shape: Array = np.maximum(0.05, 1 + spread * (drawn / drawn.mean() - 1))
    return shape / shape.mean()


def pause_share(each_rps: float) -> float:
    """Of the requests of a replica that has so many a second."""
    return min(1.0, PAUSES_PER_S / each_rps)


def loop_times(node: Node, size: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Independent samples of what an event loop takes for a request, pauses with it."""
    times: Array = node.loop_s * node.loop_shape[rng.integers(0, len(node.loop_shape), size)]
    if node.pause_s:
        times += (rng.random(size) < node.pause_share) * rng.exponential(node.pause_s, size)
    return times
