"""What crosses from drills to designs: the promise, the load, the result and the verdict."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from drillyard.core.contract import Frozen
from drillyard.core.errors import ExitCode
from drillyard.core.load import ClosedLoad, Load
from drillyard.core.traffic import Retries, Traffic


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


class Strike(Frozen):
    """A fault of the catalogue and when it strikes, in seconds since the start of the load."""

    fault: str
    at_s: float
    lasts_s: float | None = None  # None: as long as the fault usually does


class Expectation(Frozen):
    """One figure of a result and the bounds a hypothesis sets it; a dot leads into `extra` (`extra.budget.spent`)."""

    figure: str
    at_least: float | None = None
    at_most: float | None = None


class Hypothesis(Frozen):
    """What is expected to happen, said before the drill: in words, and as figures that can prove it wrong."""

    text: str
    expects: tuple[Expectation, ...] = ()


class DrillPlan(Frozen):
    """One drill: which model is asked, under which load and faults, against which promise, with what expectation."""

    model: str
    load: Load | ClosedLoad
    slo: Slo
    name: str = "steady"
    percentile: Literal[90, 99] = 99  # the one to prove at 99% confidence, against the SLO's p99 bound
    min_duration_s: float = (
        10.0  # a shorter drill proves nothing, since caches, collectors and queues need time to show
    )
    strikes: tuple[Strike, ...] = ()
    traffic: Traffic | None = None  # None: the model's own samples
    retries: Retries | None = None  # None: each request is sent once
    hypothesis: Hypothesis | None = None


class FaultMark(Frozen):
    """A fault that struck during a drill, in seconds since the start of the load; None where it was not seen."""

    fault: str
    struck_s: float
    ended_s: float | None  # the injection itself was over
    detected_s: float | None  # the first second in which callers or the alert rules noticed it
    recovered_s: float | None  # as many processes as before, and answers within the promise again
    whole_s: float | None = None  # of these, when the processes were there; also after the load


class Finding(Frozen):
    """One expectation of a hypothesis beside the measured figure; None when the drill has no such figure."""

    expectation: Expectation
    measured: float | None
    held: bool


class DrillResult(Frozen):
    """What a drill measured. Latency counts from the intended send time, so a stall is seen by all it delays.

    In a closed loop nothing is intended before the last answer came, so a request's intended time is when it was sent.
    """

    plan: DrillPlan
    verdict: Verdict
    reasons: tuple[str, ...]  # why not PASS, each with figure and bound
    offered_rps: float  # intended sends / intended duration; in a closed loop, sends / duration
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
    series: dict[
        str, list[float]
    ]  # per second: t_s, sent, ok, errors, slow (of ok, over the p99 bound), p50_ms, p99_ms
    percentiles: list[tuple[float, float]]  # (percentile, latency_ms), for the curve
    faults: tuple[FaultMark, ...] = ()
    findings: tuple[Finding, ...] = ()  # of the plan's hypothesis
    hypothesis_held: bool | None = None  # None when there was none, or when the measurement is INVALID
    extra: dict[str, Any] = Field(default_factory=dict)
