"""One machine's queues as numbers: what both simulators run. Times in seconds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
GRID = 4096  # points of the table that service times are drawn from
WIDEST = 2.0


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

    What goes beyond `WIDEST` is not a wider trace but pauses, in which the replica gets no core: one request in 64
    takes so many means longer. No time is below a twentieth of the mean.
    """
    percentiles, times = np.array(trace).T
    drawn = np.interp((np.arange(GRID) + 0.5) / GRID * 100, percentiles, times)
    shape: Array = np.maximum(0.05, 1 + min(spread, WIDEST) * (drawn / drawn.mean() - 1))
    shape[-GRID // 64 :] += max(0.0, spread - WIDEST)
    return shape / shape.mean()


def draw(shape: Array, size: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Independent samples of a shape."""
    return shape[rng.integers(0, GRID, size)]
