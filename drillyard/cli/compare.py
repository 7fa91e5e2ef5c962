"""`drillyard drill compare`: are two drills different by more than chance?"""

from pathlib import Path
from typing import Annotated, Any

import typer

from drillyard.cli.console import Console, JsonOption, write_json
from drillyard.core.errors import ExitCode

STYLES = {"better": "bold green", "worse": "bold red", "no difference shown": "dim", "cannot be compared": "yellow"}


def compare(
    before: Annotated[Path, typer.Argument(metavar="A", help="Result of a drill, as --json wrote it.", exists=True)],
    after: Annotated[Path, typer.Argument(metavar="B", help="Result to hold against it.", exists=True)],
    across: Annotated[
        list[str] | None,
        typer.Option(help="In what they may differ: model, load, promise, faults or machine; may be repeated."),
    ] = None,
    json_path: JsonOption = None,
) -> None:
    """Say of two drills which figures are better or worse in B than in A, with effect and interval.

    Exit code 0 when nothing is worse, 1 when something is, 2 when the drills cannot be compared, 3 when one is INVALID.
    Example: drillyard drill compare monday.json tuesday.json
    """
    from loadtests.judge.compare import compare, read

    found = compare(read(before), read(after), tuple(across or ()))
    console = Console(quiet=False, json_path=json_path)
    console.result(_table(found))
    console.result(f"A: {found.before}\nB: {found.after}")
    if found.across:
        console.result(f"Told to compare across: {', '.join(found.across)}. The difference may come from there.")
    write_json(json_path, found)
    raise typer.Exit(int(ExitCode.FAIL if found.worse else ExitCode.OK))


def _table(found: Any) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table("figure", "A", "B", "change", "interval", "B is", box=None, pad_edge=False)
    for each in found.figures:
        before, after = (_value(value, each.unit) for value in (each.before, each.after))
        change = "" if each.change is None else _change(each.change, each.unit)
        interval = "" if each.low is None else f"{_change(each.low, each.unit)} to {_change(each.high, each.unit)}"
        table.add_row(each.figure, before, after, change, interval, Text(each.judgement, STYLES[each.judgement]))
    return table


def _value(value: float, unit: str) -> str:
    return f"{value:.2f} ms" if unit == "ms" else f"{value:.3%}"


def _change(value: float, unit: str) -> str:
    """Latencies by their ratio, shares by percentage points."""
    return f"{value - 1:+.1%}" if unit == "ms" else f"{100 * value:+.3f} points"
