"""One line a second from a running drill to its parent process: JSON on standard output."""

from typing import Literal

from drillyard.core.contract import Frozen

# Of the histogram that Prometheus gets; prometheus-client's own default ends where a timeout only begins.
LATENCY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Progress(Frozen):
    """Counts since the start of the phase; `p99_ms` is of all answers so far, from the intended send time."""

    phase: Literal["warm-up", "drill"]
    t_s: float
    duration_s: float
    sent: int
    ok: int
    errors: int
    slow: int  # of ok, above the latency bound
    rate_rps: float  # right answers a second since the line before
    p99_ms: float
    latency_counts: tuple[int, ...]  # of the latencies so far: at most each of LATENCY_BOUNDS_S, and all
    latency_sum_s: float
    budget_left: float | None  # share of the whole drill's error budget, below 0 when overdrawn; None: none was given
