"""What crosses from drills to designs: the promise, the load, the result and the verdict."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from drillyard.core.contract import Frozen
from drillyard.core.errors import ExitCode


class Verdict(StrEnum):
    """PASS and FAIL judge the system; INVALID judges the measurement."""

    PASS = "PASS"
    FAIL = "FAIL"
    INVALID = "INVALID"

    @property
    def exit_code(self) -> ExitCode:
        return {"PASS": ExitCode.OK, "FAIL": ExitCode.FAIL, "INVALID": ExitCode.INVALID}[self.value]


class Slo(Frozen):
    """A service-level objective: what share of requests must be good, and how fast.

    A request is an error when it fails, is answered with a non-2xx code, or is answered wrongly.
    """

    p50_ms: float
    p99_ms: float
    max_error_rate: float


class Load(Frozen):
    """Open-loop arrivals: requests are sent at their intended times whether or not earlier ones were answered."""

    arrivals: Literal["poisson"] = "poisson"
    rate_rps: float
    duration_s: float
    seed: int = 0


class DrillPlan(Frozen):
    """One drill: which model is asked, under which load, against which promise."""

    model: str
    load: Load
    slo: Slo


class DrillResult(Frozen):
    """What a drill measured. Latency counts from the intended send time, so a stall is seen by all it delays."""

    plan: DrillPlan
    verdict: Verdict
    reasons: tuple[str, ...]  # why not PASS, each with figure and bound
    offered_rps: float  # intended sends / intended duration
    goodput_rps: float  # right answers within the SLO's p99 bound / duration
    requests: int
    errors: int
    error_counts: dict[str, int]  # by kind: "503", "timeout", "wrong answer"
    late_sends: int  # sent more than 5 ms after the intended time: the generator's own fault
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    started_at: str  # ISO 8601, UTC
    commit: str
    machine: str
    series: dict[str, list[float]]  # per second: t_s, sent, ok, errors, p50_ms, p99_ms
    percentiles: list[tuple[float, float]]  # (percentile, latency_ms), for the curve
    extra: dict[str, Any] = Field(default_factory=dict)
