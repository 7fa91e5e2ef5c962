"""Drill results as a terminal table (Rich drops the colours by itself when the output is no terminal)."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from drillyard.core.slo import DrillResult, Verdict
from loadtests.report.bounds import bounds
from loadtests.report.tables import Table as Facts
from loadtests.report.tables import tables

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
            table.add_row(label, bound.name, bound.promised, bound.measured, _mark(bound.held))
        table.add_section()
        reasons += [Text(f"{result.plan.model} {result.verdict}: {reason}", style) for reason in result.reasons]
    more = [_more(result, each) for result in results for each in tables(result)]
    return Group(table, *reasons, *more)


def _more(result: DrillResult, each: Facts) -> RenderableType:
    """Hypothesis, faults, budget or alerts, below the name of the drill."""
    table = Table(title=f"{result.plan.model} {result.plan.name}: {each.title}", box=None, pad_edge=False)
    table.title_justify = "left"
    for name in each.head:
        table.add_column(name, no_wrap=True)
    marks = [_mark(holds) for holds in each.holds] or [Text()] * len(each.rows)
    table.add_column("", no_wrap=True)
    for row, mark in zip(each.rows, marks, strict=True):
        table.add_row(*(Text(cell) for cell in row), mark)
    return Group("", table, Text(each.text, "dim")) if each.text else Group("", table)


def _mark(held: bool | None) -> Text:
    return Text() if held is None else Text("kept", "green") if held else Text("broken", "red")
