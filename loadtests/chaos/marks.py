"""When callers noticed a fault and when it was over, read from a finished drill, in seconds of the load."""

from dataclasses import dataclass
from itertools import pairwise

from drillyard.core.slo import DrillResult, FaultMark

QUIET_S = 3  # undisturbed seconds in a row that count as recovered; a drill must go on that long after the last fault


@dataclass(frozen=True, kw_only=True)
class Blow:
    """What the side that struck knows."""

    fault: str
    struck_s: float
    ended_s: float | None  # the injection was over
    whole_s: float | None  # as many processes as before stood again, and the server said that it is ready


def disturbed(result: DrillResult) -> list[bool]:
    """For each second of the load: did a request fail, or was the p99 above the promise?"""
    series, bound = result.series, result.plan.slo.p99_ms
    seconds = zip(series["errors"], series["p99_ms"], strict=True)
    return [bool(errors) or p99 > bound for errors, p99 in seconds][: int(result.plan.load.duration_s)]


def disturbed_s(result: DrillResult) -> int:
    """How many seconds of the load were disturbed."""
    return sum(disturbed(result))


def marked(result: DrillResult, blows: list[Blow]) -> DrillResult:
    """The result with a mark for each blow, in their order; what follows a blow is its doing until the next one."""
    seconds = disturbed(result)
    begins = [blow.struck_s for blow in blows] + [float(len(seconds))]
    marks = tuple(_mark(blow, seconds, end_s) for blow, (_, end_s) in zip(blows, pairwise(begins), strict=True))
    figures = {mark.fault: _durations(mark) for mark in marks}
    return result.model_copy(update={"faults": marks, "extra": {**result.extra, "faults": figures}})


def _durations(mark: FaultMark) -> dict[str, float | None]:
    """Seconds from the blow; of several blows of one fault, the last one's."""
    ends = {
        "detected_after_s": mark.detected_s,
        "recovered_after_s": mark.recovered_s,
        "whole_again_s": mark.whole_s,
    }
    return {name: None if end_s is None else round(end_s - mark.struck_s, 1) for name, end_s in ends.items()}


def _mark(blow: Blow, seconds: list[bool], end_s: float) -> FaultMark:
    first = int(blow.struck_s)
    after = seconds[first : max(first + 1, int(end_s))]
    noticed = next((first + i for i, bad in enumerate(after) if bad), None)
    good_again_s = blow.struck_s if noticed is None else _quiet_from(seconds, noticed)
    is_over = blow.whole_s is not None and good_again_s is not None
    return FaultMark(
        fault=blow.fault,
        struck_s=blow.struck_s,
        ended_s=blow.ended_s,
        detected_s=None if noticed is None else max(blow.struck_s, float(noticed)),
        recovered_s=max(blow.whole_s or 0.0, good_again_s or 0.0) if is_over else None,
        whole_s=blow.whole_s,
    )


def _quiet_from(seconds: list[bool], begin: int) -> float | None:
    """The start of the first QUIET_S undisturbed seconds in a row from there on."""
    for start in range(begin, len(seconds) - QUIET_S + 1):
        if not any(seconds[start : start + QUIET_S]):
            return float(start)
    return None
