"""Coordinated omission, shown: the same freeze measured by a closed loop and from intended send times.

The closed loop has one request in flight, so one late answer stands for all that would have come during the freeze.
"""

from drillyard.core.load import ClosedLoad
from drillyard.core.slo import DrillPlan, DrillResult, Strike
from loadtests.catalogue.entry import Drill, Once, at_least, base, expecting
from loadtests.judge.hypothesis import put_to_the_test
from loadtests.report.charts import PERCENTILE_TICKS, Line, chart, percentile_x

FREEZE_S, AT_SHARE = 3.0, 0.4  # how long, and when as a share of the drill
RATIO = 10.0


def _plan(plan: DrillPlan) -> DrillPlan:
    text = (
        f"From intended send times the p99 is at least {RATIO:g} times what a closed loop reports of the same freeze."
    )
    strike = Strike(fault="freeze-replica", at_s=AT_SHARE * base(plan).duration_s, lasts_s=FREEZE_S)
    return expecting(plan.model_copy(update={"strikes": (strike,)}), text, at_least("extra.omission.ratio", RATIO))


def both(plan: DrillPlan, run: Once) -> DrillResult:
    """First the closed loop of one user, then the plan itself; the result is the plan's, with the other's beside."""
    alone = ClosedLoad(users=1, duration_s=plan.load.duration_s)
    closed = run(plan.model_copy(update={"load": alone, "hypothesis": None}))
    opened = run(plan)
    omission = {
        "closed_p99_ms": closed.p99_ms,
        "closed_requests": closed.requests,
        "closed_over_bound": closed.extra["over_p99_bound"],
        "closed_percentiles": closed.percentiles,
        "ratio": opened.p99_ms / closed.p99_ms if closed.p99_ms else None,
    }
    return put_to_the_test(opened.model_copy(update={"extra": {**opened.extra, "omission": omission}}))


def plot(result: DrillResult) -> str:
    """Both percentile curves in one figure (HTML with inline SVG)."""
    omission = result.extra["omission"]
    curves = {"from intended send times": result.percentiles, "closed loop": omission["closed_percentiles"]}
    lines = [
        Line(name=name, colour=colour, points=[(percentile_x(p), ms) for p, ms in curve if p <= 99.99])
        for (name, curve), colour in zip(curves.items(), ("--bad", "--accent"), strict=True)
    ]
    return chart(
        title="One freeze, measured twice",
        description=(
            f"p99 {result.p99_ms:.1f} ms from intended send times, {omission['closed_p99_ms']:.1f} ms in a closed loop."
        ),
        lines=lines,
        x_label="percentile (each step to the right is ten times rarer)",
        y_label="latency, ms",
        x_ticks=PERCENTILE_TICKS,
    )


OMISSION = Drill(
    name="omission",
    teaches="Coordinated omission: a closed loop hides a freeze that a hundredfold of callers felt.",
    duration_s=20,
    plan=_plan,
    run=both,
)
