"""The parts of a drill that are looked at by themselves: before, during and after a spike, each step, or thirds."""

from itertools import takewhile
from typing import Any

from drillyard.core.load import ClosedLoad, Load, Spike, Steps
from drillyard.core.slo import DrillPlan
from loadtests.generator.recorder import Recorder

_SETTLE_S = 1.0  # after a spike, what it left in the queues may drain


def spans(load: Load | ClosedLoad) -> dict[str, tuple[float, float]]:
    """Name of each part -> its first and its end second."""
    shape, end_s = getattr(load, "shape", None), load.duration_s
    if isinstance(shape, Spike):
        over_s = shape.at_s + shape.lasts_s
        return {"before": (0.0, shape.at_s), "spike": (shape.at_s, over_s), "after": (over_s + _SETTLE_S, end_s)}
    if isinstance(shape, Steps):
        names = [f"step_{number}" for number in range(1, len(shape.factors) + 1)]
    else:
        names = ["first", "middle", "last"]
    each_s = end_s / len(names)
    return {name: (place * each_s, (place + 1) * each_s) for place, name in enumerate(names)}


def phases(plan: DrillPlan, recorder: Recorder) -> dict[str, dict[str, float]]:
    """The figures of each part; percentiles are exact, of the requests that were due in it."""
    return {name: recorder.window(*span) for name, span in spans(plan.load).items()}


def drift(found: dict[str, dict[str, float]]) -> float | None:
    """How many times as slow the last part was as the first, at the median; None when one of them answered nothing."""
    first, *_, last = (figures["p50_ms"] for figures in found.values())
    return round(last / first, 3) if first and last else None


def kept_factor(plan: DrillPlan, found: dict[str, dict[str, float]]) -> float | None:
    """The highest step before the first that broke the promise, as a multiple of the base rate; 0 when none held.

    None for a load without steps.
    """
    shape: Any = getattr(plan.load, "shape", None)
    if not isinstance(shape, Steps):
        return None
    slo = plan.slo

    def held(step: tuple[float, dict[str, float]]) -> bool:
        figures = step[1]
        return figures["p99_ms"] <= slo.p99_ms and figures["error_rate"] <= slo.max_error_rate

    steps = takewhile(held, zip(shape.factors, found.values(), strict=True))
    return max((factor for factor, _ in steps), default=0.0)
