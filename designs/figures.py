"""The figures of a design: inputs that are named, evidence that was measured, estimates computed from both."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Literal

from designs import formula
from designs.evidence import Evidence
from drillyard.core.contract import Frozen
from drillyard.core.errors import UsageError

Origin = Literal["input", "evidence", "estimate", "given"]


class Input(Frozen):
    """Something a design starts from: an assumption, a rule from outside, or an option that was chosen."""

    key: str  # with its unit at the end: `peak_over_mean_ratio`, `zone_count`
    value: float
    unit: str
    says: str
    source: str  # where it is from; `assumed: ...` or `chosen: ...` where nobody can be asked


class Estimate(Frozen):
    """A figure computed from others."""

    key: str
    unit: str
    formula: str  # of keys; see designs/formula.py
    says: str


class Bound(Frozen):
    """What a figure must keep to for the design to hold; what-if says which bounds break."""

    key: str
    at_most: float | None = None
    at_least: float | None = None
    says: str  # what breaks when it does not hold

    def holds(self, value: float) -> bool:
        """Whether the figure keeps to it."""
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)

    def limits(self) -> str:
        """The bound in words."""
        least = [] if self.at_least is None else [f"at least {self.at_least:g}"]
        most = [] if self.at_most is None else [f"at most {self.at_most:g}"]
        return " and ".join([*least, *most])


class Figure(Frozen):
    """One number of a design, with its unit and where it came from."""

    key: str
    value: float
    unit: str
    says: str
    origin: Origin
    source: str  # of an input its source, of evidence the command, of an estimate its formula


def compute(
    inputs: Iterable[Input],
    evidence: Mapping[str, Evidence],
    estimates: Iterable[Estimate],
    given: Mapping[str, float] | None = None,
) -> dict[str, Figure]:
    """Every figure by key; those given replace inputs, evidence and estimates alike.

    An estimate one of whose figures is not known (evidence that is not there yet) is left out.
    Raises UsageError when a given key is no figure, or an estimate has no value with these figures.
    """
    given = given or {}
    found: dict[str, Figure] = {}

    def add(key: str, value: float, unit: str, says: str, origin: Origin, source: str) -> None:
        if key in given:
            value, origin, source = given[key], "given", "given"
        found[key] = Figure(key=key, value=value, unit=unit, says=says, origin=origin, source=source)

    for item in inputs:
        add(item.key, item.value, item.unit, item.says, "input", item.source)
    for key, measured in evidence.items():
        add(key, measured.value, measured.unit, measured.says, "evidence", measured.command)
        for part, value in measured.parts().items():
            add(f"{key}.{part}", value, measured.unit, f"{part}: {measured.says}", "evidence", measured.command)
    for estimate in estimates:
        values = {key: figure.value for key, figure in found.items()}
        if estimate.key in given:
            add(estimate.key, 0.0, estimate.unit, estimate.says, "given", "given")
        elif set(formula.names(estimate.formula)) <= set(values):
            value = _evaluate(estimate, values)
            add(estimate.key, value, estimate.unit, estimate.says, "estimate", estimate.formula)
    strangers = sorted(set(given) - set(found))
    if strangers:
        raise UsageError("figure", strangers[0], "one of " + ", ".join(found))
    return found


def _evaluate(estimate: Estimate, values: Mapping[str, float]) -> float:
    try:
        return formula.evaluate(estimate.formula, values)
    except (ArithmeticError, ValueError) as error:
        used = ", ".join(f"{key}={values[key]:g}" for key in formula.names(estimate.formula))
        raise UsageError(estimate.key, used, f"figures for which {estimate.formula} has a value ({error})") from None


def shown(value: float) -> str:
    """A number as people write it: thousands with commas, small ones with three digits, never as a power."""
    if value == int(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{Decimal(f'{value:.3g}'):f}"
