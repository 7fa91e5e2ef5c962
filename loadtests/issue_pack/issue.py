"""What a known production failure is made of, as data: how to have it, how to see it, how to mend it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from drillyard.core.slo import DrillPlan

Figures = dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Side:
    """A server with these settings, and what is asked of it; the model's name stands in the plan by name."""

    recipe: str | None  # of `drillyard serve up --recipe`; None: the usual settings
    plan: DrillPlan
    replicas: int = 1


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number that both sides have: where it stands in a drill's result, and what it says."""

    path: str  # as `loadtests.judge.hypothesis.figure` takes it
    words: str


@dataclass(frozen=True, kw_only=True)
class Issue:
    """A failure and its cure. The first figure decides: the cure must be better by `ratio` at least."""

    name: str
    symptom: str
    shows: str  # the metric that tells this failure from others
    fix: str
    figures: tuple[Figure, ...]
    better: Literal["lower", "higher"]
    ratio: float
    broken: "Side | Callable[[], Figures]"  # without a server, the figures by their paths
    fixed: "Side | Callable[[], Figures]"

    def cured(self, broken: float | None, fixed: float | None) -> bool:
        """Whether the failure was there, and is gone by the margin."""
        if broken is None or fixed is None:
            return False
        low, high = (fixed, broken) if self.better == "lower" else (broken, fixed)
        return high > low * self.ratio if low > 0 else high > 0
