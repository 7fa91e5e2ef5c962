"""Percentiles of several workers, averaged and merged, on the recorder's own histograms."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from loadtests.generator.recorder import Recorder

WORKERS, REQUESTS, PERCENTILE = 4, 20_000, 99.0
_MEDIAN_MS, _SPREAD, _SLOW_FACTOR = 10.0, 0.3, 8.0


def averaged() -> dict[str, float | None]:
    """What the mean of the workers' percentiles claims."""
    workers, true_ms = _recorded()
    return _figures(float(np.mean([worker.percentile_ms(PERCENTILE) for worker in workers])), true_ms)


def merged() -> dict[str, float | None]:
    """What the percentile of their merged histograms claims."""
    workers, true_ms = _recorded()
    whole = Recorder(bound_ms=float("inf"))
    for worker in workers:
        whole.merge(worker.drain())
    return _figures(whole.percentile_ms(PERCENTILE), true_ms)


def _recorded() -> tuple[list[Recorder], float]:
    """The workers' recorders, and the exact percentile of all their requests."""
    workers = []
    for latencies in _latencies_ms():
        recorder = Recorder(bound_ms=float("inf"))
        for number, latency_ms in enumerate(latencies):
            recorder.sent(number / 1000, number / 1000)
            recorder.outcome(number / 1000, number / 1000 + latency_ms / 1000, None)
        workers.append(recorder)
    everything = np.concatenate(_latencies_ms())
    return workers, float(np.percentile(everything, PERCENTILE, method="inverted_cdf"))


@cache
def _latencies_ms() -> tuple[NDArray[np.float64], ...]:
    """Lognormal latencies of equally busy workers, the last of which is slow, as on a host with a noisy neighbour."""
    rng = np.random.default_rng(0)
    each = [_MEDIAN_MS * rng.lognormal(sigma=_SPREAD, size=REQUESTS // WORKERS) for _ in range(WORKERS)]
    return (*each[:-1], each[-1] * _SLOW_FACTOR)


def _figures(claimed_ms: float, true_ms: float) -> dict[str, float | None]:
    return {"off": abs(claimed_ms - true_ms) / true_ms, "claimed_ms": claimed_ms, "true_ms": true_ms}
