"""One line a second from a running drill to its parent process: JSON on standard output."""

from typing import Literal

from drillyard.core.contract import Frozen


class Progress(Frozen):
    """Counts since the start of the drill; `p99_ms` is of all answers so far, from the intended send time."""

    phase: Literal["warm-up", "drill"]
    t_s: float
    duration_s: float
    sent: int
    ok: int
    errors: int
    p99_ms: float
