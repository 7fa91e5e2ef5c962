"""What the twin is told and what it answers. Times in the unit of the name, rates in requests a second."""

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from drillyard.core.contract import Frozen
from drillyard.core.load import Load
from drillyard.core.slo import Slo


class Point(Frozen):
    """The system at one rate: what a request costs each part of it, as measured, and what was fitted to its latencies.

    A cost is a thread's time on a core for one request; a wait is its time ready to run while every core was taken, as
    a share of that. Times are those of the machine at its usual speed: the median of the calibration's rounds.
    """

    rate_rps: PositiveFloat  # answered, of each replica
    busy_cores: NonNegativeFloat  # of the whole machine, everything that ran
    proxy_us: NonNegativeFloat
    proxy_wait: NonNegativeFloat
    loop_us: NonNegativeFloat  # the replica's event loop: decode, encode, and a quick model
    loop_wait: NonNegativeFloat
    generator_us: NonNegativeFloat  # the load generator's, which shares the cores
    delay_ms: NonNegativeFloat  # the rest of the latency, which holds up nobody else (fitted to the p50)
    spread: NonNegativeFloat  # how much of the trace's spread holds up the queue (fitted to the p99); 0 none, 1 all
    pause_ms: NonNegativeFloat  # mean of the replica's pauses (fitted to the p99 where the trace alone is too narrow)
    p50_ms: PositiveFloat  # measured
    p99_ms: PositiveFloat
    requests: PositiveInt


class BatchTime(Frozen):
    """Time of one call of the model in the replica's thread, `call_us + row_us * rows`: a line through calls."""

    call_us: NonNegativeFloat
    row_us: NonNegativeFloat


class Round(Frozen):
    """One pass over the calibration's rates. Rounds are the samples whose spread is the calibration's uncertainty."""

    points: tuple[Point, ...] = Field(min_length=1)  # by ascending rate
    batch: BatchTime | None  # None: the model answers on the event loop, and its time is part of `loop_us`
    trace: tuple[tuple[float, float], ...] = Field(min_length=2)  # (percentile, latency over its mean) without a queue

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        rates = [point.rate_rps for point in self.points]
        if rates != sorted(rates):
            raise ValueError("points: expected ascending rates")
        return self


class Calibration(Frozen):
    """A running system, measured; everything `predict` knows of it."""

    model: str  # NAME/VERSION
    replicas: PositiveInt  # while it was measured
    cores: PositiveInt
    background_cores: NonNegativeFloat  # busy while nobody asked
    max_rows: PositiveInt  # of one call of the model
    max_wait_s: NonNegativeFloat
    max_ongoing_requests: PositiveInt  # of a replica
    queue_timeout_s: PositiveFloat
    rounds: tuple[Round, ...] = Field(min_length=1)
    commit: str
    machine: str
    at: str  # ISO 8601, UTC
    n: PositiveInt  # requests measured


class Outage(Frozen):
    """One replica dies or freezes at `at_s`; another takes its place, or it wakes, `lasts_s` later."""

    kind: Literal["kill", "freeze"]
    at_s: NonNegativeFloat
    lasts_s: PositiveFloat


class Scaling(Frozen):
    """Ray Serve's autoscaler: its rule and its lags."""

    max_replicas: PositiveInt
    target_ongoing_requests: PositiveFloat = 16.0
    look_back_s: PositiveFloat = 2.0
    upscale_delay_s: NonNegativeFloat = 1.0
    downscale_delay_s: NonNegativeFloat = 60.0
    start_s: NonNegativeFloat = 5.0  # a new replica's process, imports and first inference
    push_s: PositiveFloat = 0.5  # between two reports of a replica


class Scenario(Frozen):
    """A question to the twin; a None takes what the calibrated server has."""

    load: Load
    slo: Slo  # decides what is sustainable
    replicas: PositiveInt = 1
    max_rows: PositiveInt | None = None
    max_wait_s: NonNegativeFloat | None = None
    max_ongoing_requests: PositiveInt | None = None
    queue_timeout_s: PositiveFloat | None = None
    answer_timeout_s: PositiveFloat = 3.0  # a replica's silence after which its request goes to another
    outage: Outage | None = None
    scaling: Scaling | None = None
    slowdown: PositiveFloat = 1.0  # of this machine now against the calibration's usual; see stations.slowdown
    generator_on_node: bool = True  # False: callers have machines of their own, as in production


class Span(Frozen):
    """A figure: the median over the calibration's rounds, the lowest and the highest of them."""

    value: float
    low: float
    high: float


class Prediction(Frozen):
    """The twin's answer. Latency counts from the intended send time, of answered requests, as drills count it."""

    model: str
    scenario: Scenario
    p50_ms: Span
    p99_ms: Span
    max_ms: Span
    utilisation: Span  # of the busiest part of the path: proxy, event loops, model threads or cores
    bottleneck: str  # which part that is
    shed_share: Span  # answered 503 since no replica had room in time
    failed_share: Span  # never answered
    simulated: int  # requests, in each round
    extrapolated: bool  # some round was asked beyond the rates that were measured
