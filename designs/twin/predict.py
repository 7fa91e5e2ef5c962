"""The twin's answers: latency, utilisation and shed share of a scenario, and the highest rate that is sustainable."""

import math
from dataclasses import dataclass
from statistics import median

import numpy as np

from designs.twin import disturbances, reference, segments
from designs.twin.node import Array
from designs.twin.stations import Setting, setting
from designs.twin.types import Calibration, Prediction, Round, Scenario, Span
from drillyard.core.errors import InvalidMeasurement, UsageError
from drillyard.core.load import Load, Poisson
from loadtests.generator.arrivals import schedule

REQUESTS = 320_000  # simulated in each round at least, where nothing depends on the time of day
_CLOSE = 1.005  # the highest sustainable rate is found within this ratio


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """One round's."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    parts: dict[str, float]  # utilisation of each part of the path
    shed: float
    failed: float
    simulated: int
    extrapolated: bool


def predict(calibration: Calibration, scenario: Scenario) -> Prediction:
    """What the drill of this load would measure: its very arrivals, through each round of the calibration.

    With an outage or an autoscaler the load runs once through the request-by-request model, else as often as makes
    320,000 requests through the fast one. Raises UsageError (load, batch, outage) and InvalidMeasurement when no
    request was answered.
    """
    _check(calibration, scenario)
    times_s = schedule(scenario.load)
    if not len(times_s):
        raise UsageError("load", scenario.load, "a load with at least one request")
    answers = [_answer(calibration, measured, scenario, times_s) for measured in calibration.rounds]
    busiest = max(answers[0].parts, key=lambda part: median(answer.parts[part] for answer in answers))
    return Prediction(
        model=calibration.model,
        scenario=scenario,
        p50_ms=span([answer.p50_ms for answer in answers]),
        p99_ms=span([answer.p99_ms for answer in answers]),
        max_ms=span([answer.max_ms for answer in answers]),
        utilisation=span([answer.parts[busiest] for answer in answers]),
        bottleneck=busiest,
        shed_share=span([answer.shed for answer in answers]),
        failed_share=span([answer.failed for answer in answers]),
        simulated=answers[0].simulated,
        extrapolated=any(answer.extrapolated for answer in answers),
    )


def sustainable_rps(calibration: Calibration, scenario: Scenario) -> Span:
    """The highest Poisson rate that keeps the scenario's SLO: p50, p99, and its error rate as shed share.

    The rate and the shape of the scenario's load are not looked at. 0 when no rate keeps it.
    """
    _check(calibration, scenario)
    return span([_highest(calibration, measured, scenario) for measured in calibration.rounds])


def span(values: list[float]) -> Span:
    """Median, lowest and highest."""
    return Span(value=median(values), low=min(values), high=max(values))


def _check(calibration: Calibration, scenario: Scenario) -> None:
    ongoing = scenario.max_ongoing_requests or calibration.max_ongoing_requests
    rows = scenario.max_rows or calibration.max_rows
    if ongoing <= rows:
        raise UsageError("max_ongoing_requests", ongoing, f"more than max_rows, {rows}: as the server asks for")
    if scenario.outage is not None and scenario.replicas < 2:
        raise UsageError(
            "replicas", scenario.replicas, "at least 2 with an outage: the twin's callers do not come back"
        )


def _answer(calibration: Calibration, measured: Round, scenario: Scenario, times_s: Array) -> _Answer:
    rate_rps = len(times_s) / scenario.load.duration_s
    found = setting(calibration, measured, scenario, rate_rps)
    rng = np.random.default_rng(scenario.load.seed)
    failed = 0
    if scenario.outage is None and scenario.scaling is None:
        if isinstance(scenario.load.shape, Poisson):
            sample = segments.simulate(found.node, times_s, rng, REQUESTS)
        else:
            sample = segments.simulate_shaped(
                lambda rate_rps: setting(calibration, measured, scenario, rate_rps).node, times_s, rng, REQUESTS
            )
        latency_s, requests, refused, calls = sample.latency_s, sample.requests, sample.refused, sample.calls
    else:
        run = reference.simulate(
            found.node,
            times_s,
            rng,
            answer_timeout_s=scenario.answer_timeout_s,
            disturbances=_disturbances(scenario),
        )
        latency_s, requests = run.latency_s[~np.isnan(run.latency_s)], len(times_s)
        refused, failed, calls = run.refused, run.failed, run.calls / max(len(latency_s), 1)
    if not len(latency_s):
        raise InvalidMeasurement("no simulated request was answered")
    p50_s, p99_s, max_s = np.percentile(latency_s, [50, 99, 100])
    return _Answer(
        p50_ms=float(p50_s) * 1000,
        p99_ms=float(p99_s) * 1000,
        max_ms=float(max_s) * 1000,
        parts=_utilisation(calibration, found, rate_rps, len(latency_s) / requests, calls),
        shed=refused / requests,
        failed=failed / requests,
        simulated=requests,
        extrapolated=found.extrapolated,
    )


def _disturbances(scenario: Scenario) -> tuple[reference.Disturbance, ...]:
    outage, scaling = scenario.outage, scenario.scaling
    found = () if outage is None else (disturbances.outage(outage),)
    return found if scaling is None else (*found, disturbances.autoscaler(scaling))


def _utilisation(
    calibration: Calibration, found: Setting, rate_rps: float, answered: float, calls: float
) -> dict[str, float]:
    """By part; `answered` is a share, `calls` of the model are those for each answered request."""
    node = found.node
    served_rps = rate_rps * answered
    parts = {
        "cores": found.busy_cores / calibration.cores,  # first: without cores all others are busy too
        "proxy": min(1.0, rate_rps * node.proxy_s),
        "event loops": min(1.0, served_rps * node.loop_s / node.replicas),
    }
    if node.batch is not None:
        each_s = calls * node.batch.call_s + node.batch.row_s
        parts["model threads"] = min(1.0, served_rps * each_s / node.replicas)
    return parts


def _highest(calibration: Calibration, measured: Round, scenario: Scenario) -> float:
    def kept(rate_rps: float) -> bool:
        load = Load(rate_rps=rate_rps, duration_s=REQUESTS / rate_rps)
        asked = scenario.model_copy(update={"load": load, "outage": None, "scaling": None})
        found = _answer(calibration, measured, asked, schedule(load))
        slo = scenario.slo
        return found.p50_ms <= slo.p50_ms and found.p99_ms <= slo.p99_ms and found.shed <= slo.max_error_rate

    low, high = measured.points[0].rate_rps / 16, measured.points[0].rate_rps
    if not kept(low):
        return 0.0
    while kept(high):
        low, high = high, high * 2
    while high / low > _CLOSE:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if kept(middle) else (low, middle)
    return low
