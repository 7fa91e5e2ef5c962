"""Drill results as a terminal table (Rich drops the colours by itself when the output is no terminal)."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from drillyard.core.slo import DrillResult, Verdict
from loadtests.bounds import bounds

STYLES = {Verdict.PASS: "bold green", Verdict.FAIL: "bold red", Verdict.INVALID: "bold yellow"}


def scorecard(results: Sequence[DrillResult]) -> RenderableType:
    """One block a drill: the verdict, every bound beside the measured figure, then the reasons in words."""
    table = Table(title="Scorecard", title_justify="left", show_edge=False, pad_edge=False)
    for name, justify in (("drill", "left"), ("promise", "left"), ("bound", "right"), ("measured", "right")):
        table.add_column(name, justify=justify, no_wrap=name != "drill")  # type: ignore[arg-type]
    table.add_column("", no_wrap=True)
    reasons: list[RenderableType] = []
    for result in results:
        load, style = result.plan.load, STYLES[result.verdict]
        head = Text.assemble((result.plan.model, "bold"), " ", (result.verdict, style))
        side = [head, Text(f"{result.offered_rps:,.0f} rps offered", "dim"), Text(f"{load.duration_s:g} s", "dim")]
        for label, bound in zip(side, bounds(result), strict=True):
            mark = Text("kept", "green") if bound.held else Text("broken", "red")
            table.add_row(label, bound.name, bound.promised, bound.measured, mark)
        table.add_section()
        reasons += [Text(f"{result.plan.model} {result.verdict}: {reason}", style) for reason in result.reasons]
    return Group(table, *reasons)
