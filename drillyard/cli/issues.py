"""`drillyard drill issues|issue`: known production failures, broken and mended side by side."""

from typing import Annotated, Any

import typer

from drillyard.cli.console import Console, JsonOption, QuietOption, settings, write_json


def issues(json_path: JsonOption = None) -> None:
    """List the known production failures that can be had here, each with its symptom and its cure.

    Example: drillyard drill issues
    """
    from rich.table import Table

    from loadtests.issue_pack.issues import ISSUES

    found = [make("any") for make in ISSUES.values()]
    table = Table("issue", "symptom", "what shows it", "cure", box=None)
    for each in found:
        table.add_row(each.name, each.symptom, each.shows, each.fix)
    Console(quiet=False, json_path=json_path).result(table)
    write_json(json_path, [{key: getattr(each, key) for key in ("name", "symptom", "shows", "fix")} for each in found])


def issue(
    name: Annotated[str, typer.Argument(help="Its name; `drillyard drill issues` lists them.")],
    model: Annotated[str | None, typer.Option(help="Whose champion is asked; default the first there is.")] = None,
    port: Annotated[int, typer.Option(help="Of the servers that it starts.", min=1, max=65535)] = 8000,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Have a known failure and its cure: two servers, two drills, one table; at most two minutes.

    Exit code 0 when the failure showed and the cure helped, 1 when not, 3 when the machine was too busy to measure.
    Example: drillyard drill issue unbounded-queue
    """
    from drillyard.cli.serve import champions
    from loadtests.issue_pack import issues as pack
    from loadtests.issue_pack.run import run

    console, where = Console(quiet=quiet, json_path=json_path), settings()
    chosen = pack.get(name, model or champions()[0])
    with console.step(name) as step:
        outcome = run(
            chosen,
            where,
            port=port,
            say=console.say,
            on_progress=lambda line: step.update(line.t_s, line.duration_s, {"phase": line.phase}),
        )
    console.result(_table(chosen, outcome))
    write_json(where.reports / f"issue-{name}.json", outcome)
    write_json(json_path, outcome)
    raise typer.Exit(int(outcome.verdict.exit_code))


def _table(chosen: Any, outcome: Any) -> Any:
    from rich.table import Table

    table = Table("", "broken", "fixed", title=f"{chosen.name}: {outcome.verdict}", box=None)
    for figure in outcome.figures:
        cells = ["" if value is None else f"{value:,.2f}" for value in (figure.broken, figure.fixed)]
        table.add_row(figure.words, *cells)
    return table
