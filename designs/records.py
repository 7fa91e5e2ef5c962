"""What a design decided, feared and can be asked: typed, so that a mock interview and a page can be built on it.

Texts may name figures, `{average_precision}`; see designs/binding.py.
"""

from typing import Annotated, Literal

from pydantic import Field

from drillyard.core.contract import Frozen


class TestCheck(Frozen):
    """A test that fails when the decision no longer holds."""

    __test__ = False  # pytest, which collects classes by their names
    kind: Literal["test"] = "test"
    name: str  # tests/folder/test_file.py::test_name


class FigureCheck(Frozen):
    """Two figures of the design whose order the decision rests on."""

    kind: Literal["figure"] = "figure"
    key: str
    at_least: str | None = None  # the key of another figure
    at_most: str | None = None


class DrillCheck(Frozen):
    """A drill or a fault of the catalogue that the running system must come through."""

    kind: Literal["drill"] = "drill"
    name: str


Check = Annotated[TestCheck | FigureCheck | DrillCheck, Field(discriminator="kind")]


class Option(Frozen):
    """One way that was open."""

    name: str
    says: str  # what speaks for and against it


class Decision(Frozen):
    """A decision record: what was open, what was chosen, and what would show that it was wrong."""

    key: str
    title: str
    context: str
    options: tuple[Option, ...]  # the chosen one first
    decision: str
    confirmed_by: Check


class FailureMode(Frozen):
    """One way to fail: how it is seen, what limits it, which drill shows it and what that drill measured."""

    name: str
    effect: str
    seen_by: tuple[str, ...]  # metrics that the server exports
    limited_by: str
    drill: str | None  # of the catalogue; None where the text says why there is none
    result: str  # with bound figures


class Drilled(Frozen):
    """A drill that a proposed configuration would face, and what it is meant to find out."""

    drill: str  # of the catalogue
    finds_out: str


class RubricFigure(Frozen):
    """A figure that a candidate should estimate, and how near is good."""

    key: str
    asks: str
    within_factor: float  # at most so many times too high or too low
    hint: str  # for who is stuck

    @property
    def within_key(self) -> str:
        """What prose calls the factor."""
        return f"{self.key}.within"


class Question(Frozen):
    """An interviewer's question; the answer stays hidden until it is asked for."""

    topic: str
    asks: str
    answer: str
    probes: tuple[str, ...] = ()  # what to ask next
