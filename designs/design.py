"""A design: what it promises, what it rests on and what it decided, as typed data.

The prose is the README.md beside each `design.py`; tables in it are made from this data (designs/render.py).
"""

from designs.evidence import Source
from designs.figures import Bound, Estimate, Input
from designs.records import Decision, Drilled, FailureMode, Question, RubricFigure
from drillyard.core.contract import Frozen
from drillyard.core.slo import DrillPlan


class Design(Frozen):
    """One system's question, promise, figures and records."""

    name: str  # its folder; also the registered model's name where the design is of one model
    title: str
    question: str
    drill: DrillPlan  # the promise, on one laptop
    inputs: tuple[Input, ...]
    evidence: tuple[Source, ...]  # what is collected into evidence.json
    estimates: tuple[Estimate, ...]  # each may use those before it
    bounds: tuple[Bound, ...]
    rate_key: str  # the figure that `what-if --rps` sets, by way of
    traffic_key: str  # the input that it is proportional to, so that all that traffic moves goes with it
    replicas_key: str  # the figure that `what-if --replicas` sets
    decisions: tuple[Decision, ...]
    failures: tuple[FailureMode, ...]
    drills: tuple[Drilled, ...]
    rubric: tuple[RubricFigure, ...]
    questions: tuple[Question, ...]

    @property
    def is_system(self) -> bool:
        """Whether the design is of one registered model, which can be trained, served and drilled by its name."""
        return self.drill.model == self.name
