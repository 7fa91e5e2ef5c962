"""A design's figures again, with some of them given."""

from collections.abc import Mapping

from designs.opened import Opened, open_design
from drillyard.core.contract import Frozen


class Row(Frozen):
    """One figure before and after."""

    key: str
    before: float
    after: float
    unit: str
    source: str  # formula, or `given`
    changed: bool


class Answer(Frozen):
    """What follows from the figures that were given."""

    name: str
    given: dict[str, float]
    rows: tuple[Row, ...]  # what was given, and every estimate
    broken: tuple[str, ...]  # bounds of the design that no longer hold, each with figure and consequence


def traffic(name: str, rate_rps: float) -> dict[str, float]:
    """What must be given so that the design's rate is this one, and all that traffic moves goes with it."""
    opened = open_design(name)
    rate, source = opened.figures[opened.design.rate_key], opened.figures[opened.design.traffic_key]
    return {source.key: source.value * rate_rps / rate.value}


def what_if(name: str, given: Mapping[str, float]) -> Answer:
    """The design with figures replaced. Raises UsageError when a key is no figure."""
    before, after = open_design(name), open_design(name, given)
    keys = dict.fromkeys([*given, *(estimate.key for estimate in before.design.estimates)])
    rows = [_row(key, before, after) for key in keys if key in before.figures]
    return Answer(name=name, given=dict(given), rows=tuple(rows), broken=tuple(_broken(after)))


def _row(key: str, before: Opened, after: Opened) -> Row:
    old, new = before.figures[key], after.figures[key]
    return Row(
        key=key,
        before=old.value,
        after=new.value,
        unit=new.unit,
        source=new.source,
        changed=old.value != new.value,
    )


def _broken(opened: Opened) -> list[str]:
    return [
        f"{bound.key} is {opened.figures[bound.key].value:.3g}, {bound.limits()}: {bound.says}"
        for bound in opened.design.bounds
        if not bound.holds(opened.figures[bound.key].value)
    ]
