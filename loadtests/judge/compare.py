"""Two drills -> which figures differ by more than chance explains, and by how much."""

from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from drillyard.core.contract import Frozen
from drillyard.core.errors import InvalidMeasurement, UsageError
from drillyard.core.slo import DrillResult, Verdict
from loadtests.judge.batches import split, unpack
from loadtests.judge.differences import Figure, Interval, Share, difference, ratio

Judgement = Literal["better", "worse", "no difference shown", "cannot be compared"]
ASPECTS = ("model", "load", "promise", "faults", "machine")


class Difference(Frozen):
    """One figure of both drills. `change` is `after` over `before`, or `after` - `before` where they are shares."""

    figure: str
    unit: Literal["ms", "share"]
    before: float
    after: float
    change: float | None  # None: a part of a drill had no answers, so that there is nothing to hold against each other
    low: float | None
    high: float | None
    judgement: Judgement


class Comparison(Frozen):
    """The verdict on all figures; together they are wrong in at most 5% of the comparisons of like with like."""

    before: str
    after: str
    across: tuple[str, ...]  # in what the drills differ, the caller having allowed it
    figures: tuple[Difference, ...]

    @property
    def worse(self) -> bool:
        return any(figure.judgement == "worse" for figure in self.figures)


def compare(before: DrillResult, after: DrillResult, across: tuple[str, ...] = ()) -> Comparison:
    """Hold `after` against `before`. `across`: aspects in which they may differ.

    Raises UsageError when they differ in another one or were made before comparisons were possible, and
    InvalidMeasurement when one of them is.
    """
    unknown = sorted(set(across) - set(ASPECTS))
    if unknown:
        raise UsageError("--across", ", ".join(unknown), "any of " + ", ".join(ASPECTS))
    for result in (before, after):
        if result.verdict is Verdict.INVALID:
            raise InvalidMeasurement(f"the drill of {_name(result)} is INVALID: {'; '.join(result.reasons)}")
    differing = tuple(aspect for aspect in ASPECTS if _aspect(before, aspect) != _aspect(after, aspect))
    for aspect in differing:
        if aspect not in across:
            values = f"{_aspect(before, aspect)} and {_aspect(after, aspect)}"
            raise UsageError(aspect, values, f"the same in both drills, or --across {aspect}")
    return Comparison(
        before=_name(before),
        after=_name(after),
        across=differing,
        figures=(
            _latency("p50", before, after),
            _latency("p99", before, after),
            _share("error rate", _errors(before), _errors(after), more_is_better=False),
            _share("goodput", _good(before), _good(after), more_is_better=True),
        ),
    )


def read(path: Path) -> DrillResult:
    """A result file of `drill run`. Raises UsageError."""
    try:
        return DrillResult.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError("result", str(path), f"a drill's result as JSON ({str(error).splitlines()[0]})") from error


def _name(result: DrillResult) -> str:
    return f"{result.plan.model} {result.plan.name}, commit {result.commit}, {result.started_at}"


def _aspect(result: DrillResult, aspect: str) -> Any:
    plan = result.plan
    return {
        "model": plan.model,
        "load": plan.load.model_dump(),
        "promise": {**plan.slo.model_dump(), "percentile": plan.percentile},
        "faults": [strike.model_dump() for strike in plan.strikes],
        "machine": result.machine,
    }[aspect]


def _latency(name: Literal["p50", "p99"], before: DrillResult, after: DrillResult) -> Difference:
    figures = [_figure(name, result) for result in (before, after)]
    possible = all(all(value > 0 for value in (figure.whole, *figure.batches)) for figure in figures)
    found = ratio(*figures) if possible else None
    return _judged(
        f"{name} latency", "ms", (figures[0].whole, figures[1].whole), found, unchanged=1.0, more_is_better=False
    )


def _figure(name: Literal["p50", "p99"], result: DrillResult) -> Figure:
    percent, whole = {"p50": (50, result.p50_ms), "p99": (99, result.p99_ms)}[name]
    if "latency_batches" not in result.extra:
        raise UsageError("result", _name(result), "one with latency_batches: drill again with this version")
    batches = unpack(result.extra["latency_batches"])
    return Figure(whole=whole, batches=[batch.get_value_at_percentile(percent) / 1000 for batch in batches])


def _share(name: str, before: Share, after: Share, *, more_is_better: bool) -> Difference:
    found, values = difference(before, after), (before.value, after.value)
    return _judged(name, "share", values, found, unchanged=0.0, more_is_better=more_is_better)


def _judged(
    name: str,
    unit: Literal["ms", "share"],
    values: tuple[float, float],
    found: Interval | None,
    *,
    unchanged: float,
    more_is_better: bool,
) -> Difference:
    change, low, high = found or (None, None, None)
    judgement: Judgement = "cannot be compared"
    if low is not None and high is not None:
        judgement = "no difference shown"
        if low > unchanged or high < unchanged:
            judgement = "better" if (low > unchanged) == more_is_better else "worse"
    before, after = values
    return Difference(
        figure=name, unit=unit, before=before, after=after, change=change, low=low, high=high, judgement=judgement
    )


def _errors(result: DrillResult) -> Share:
    ok, errors = (split(result.series[name], result.plan.load.duration_s) for name in ("ok", "errors"))
    return Share(hits=errors, requests=[a + b for a, b in zip(ok, errors, strict=True)])


def _good(result: DrillResult) -> Share:
    """Right answers within the latency bound, of all requests that ended."""
    names = ("ok", "errors", "slow")
    ok, errors, slow = (split(result.series[name], result.plan.load.duration_s) for name in names)
    return Share(
        hits=[a - b for a, b in zip(ok, slow, strict=True)], requests=[a + b for a, b in zip(ok, errors, strict=True)]
    )
