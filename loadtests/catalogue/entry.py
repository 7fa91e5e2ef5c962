"""What an entry of the catalogue is: a way to make a plan out of any design's own model, load and promise."""

from collections.abc import Callable
from dataclasses import dataclass

from drillyard.core.errors import UsageError
from drillyard.core.load import Load, Shape
from drillyard.core.slo import DrillPlan, DrillResult, Expectation, Hypothesis

Once = Callable[[DrillPlan], DrillResult]  # carries out one plan on the system
Procedure = Callable[[DrillPlan, Once], DrillResult]


def once(plan: DrillPlan, run: Once) -> DrillResult:
    """The procedure of most drills: carry out the plan."""
    return run(plan)


@dataclass(frozen=True, kw_only=True)
class Drill:
    """A drill for any system: load, faults, promise and hypothesis follow from the plan of its design."""

    name: str
    teaches: str
    plan: Callable[[DrillPlan], DrillPlan]  # from the design's plan, with `duration_s` set
    duration_s: float | None = None  # of the load; None: the design's own
    run: Procedure = once  # some drills carry out several plans
    serve: tuple[str, ...] = ()  # options of `drillyard serve up` that it needs

    def planned(self, design: DrillPlan, duration_s: float | None = None) -> DrillPlan:
        """This drill of that design, for so long if asked. Raises UsageError when the design has no open load."""
        load = base(design)
        asked_s = duration_s or self.duration_s or load.duration_s
        made = self.plan(design.model_copy(update={"load": load.model_copy(update={"duration_s": asked_s})}))
        return made.model_copy(update={"name": self.name})


def base(plan: DrillPlan) -> Load:
    """The open load that a drill is made from. Raises UsageError when the plan has none."""
    if not isinstance(plan.load, Load):
        raise UsageError("load", plan.load, "a load with a rate, which the drills multiply")
    return plan.load


def reshaped(plan: DrillPlan, shape: Shape, *, times: float = 1.0) -> DrillPlan:
    """The same plan with another shape, at a multiple of its rate."""
    load = base(plan)
    return plan.model_copy(update={"load": load.model_copy(update={"shape": shape, "rate_rps": load.rate_rps * times})})


def expecting(plan: DrillPlan, text: str, *expects: Expectation) -> DrillPlan:
    """The same plan with a hypothesis."""
    return plan.model_copy(update={"hypothesis": Hypothesis(text=text, expects=expects)})


def at_most(figure: str, bound: float) -> Expectation:
    return Expectation(figure=figure, at_most=bound)


def at_least(figure: str, bound: float) -> Expectation:
    return Expectation(figure=figure, at_least=bound)


def promise(plan: DrillPlan, part: str = "") -> tuple[Expectation, ...]:
    """The plan's own promise as expectations: of the whole drill, or of one of its parts."""
    slo = plan.slo
    if part:
        where = f"extra.phases.{part}."
        return at_most(f"{where}p99_ms", slo.p99_ms), at_most(f"{where}error_rate", slo.max_error_rate)
    return at_most("p99_ms", slo.p99_ms), at_most("extra.error_rate", slo.max_error_rate)
