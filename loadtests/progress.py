"""One line a second from a running drill to its parent process: JSON on standard output."""

from typing import Literal

from drillyard.core.contract import Frozen


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
    budget_left: float | None  # share of the whole drill's error budget, below 0 when overdrawn; None: none was given
