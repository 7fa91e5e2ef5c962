"""`drillyard design`: walk through the designs, ask them what-if, and check that their numbers still hold."""

import re
import shlex
from typing import Annotated, Any

import typer

from drillyard.cli.console import Console, JsonOption, QuietOption, settings, write_json
from drillyard.core.errors import ExitCode, UsageError

app = typer.Typer(help="Read the executable design documents, and verify their numbers.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A design, such as fraud.")]
SomeArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Designs; default all.", show_default=False)
]


@app.command("list")
def list_(json_path: JsonOption = None) -> None:
    """List the designs there are.

    Example: drillyard design list
    """
    from rich.table import Table

    import designs
    from designs.opened import open_design

    table = Table("design", "question", "measured numbers", "questions", box=None)
    found = [open_design(name) for name in designs.names()]
    for opened in found:
        design = opened.design
        table.add_row(design.name, design.question, str(len(opened.evidence)), str(len(design.questions)))
    Console(quiet=False, json_path=json_path).result(table)
    write_json(json_path, [opened.design for opened in found])


@app.command()
def show(
    name: NameArgument,
    answers: Annotated[bool, typer.Option("--answers", help="Open the hidden answers.")] = False,
) -> None:
    """Walk through a design, a page at a time where there is a terminal; answers stay hidden until asked for.

    Example: drillyard design show fraud --answers
    """
    from designs.opened import open_design
    from drillyard.cli.walk import walk

    opened = open_design(name)
    walk(opened.readme.read_text(), answers=answers)


@app.command("what-if")
def what_if(
    name: NameArgument,
    rps: Annotated[float | None, typer.Option(help="Requests a second at peak.", min=0.1)] = None,
    replicas: Annotated[int | None, typer.Option(help="Replicas in all.", min=1)] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other figure; may be repeated.")
    ] = None,
    json_path: JsonOption = None,
) -> None:
    """Compute estimation and capacity again with figures of your own.

    Exit code 1 when a bound of the design breaks. Example: drillyard design what-if fraud --rps 50000 --replicas 40
    """
    import designs
    from designs import whatif

    given = dict(_assignment(text) for text in setting or ())
    given |= whatif.traffic(name, rps) if rps is not None else {}
    given |= {designs.get(name).replicas_key: float(replicas)} if replicas is not None else {}
    answer = whatif.what_if(name, given)
    console = Console(quiet=False, json_path=json_path)
    _print_what_if(answer, console)
    from_twin = _capacity(name, given, console)
    write_json(json_path, {**answer.model_dump(mode="json"), "capacity": from_twin})
    raise typer.Exit(int(ExitCode.FAIL if answer.broken else ExitCode.OK))


@app.command()
def verify(
    names: SomeArgument = None,
    claims: Annotated[
        bool, typer.Option(help="Compute and time the cheap claims again; takes most of the time.")
    ] = True,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Check that every number is bound, true and fresh, and that every name leads somewhere.

    Exit code 1 when a number is unbound, differs from its source, or is stale. Example: drillyard design verify fraud
    """
    import designs
    from designs.verify import verify as check

    console = Console(quiet=quiet, json_path=json_path)
    reports = []
    for name in names or designs.names():
        console.stage(f"design {name}")
        report = check(name, is_command=is_command, claims=claims)
        for note in report.notes:
            console.say(f"note: {note}")
        for problem in report.problems:
            console.result(f"{name}: {problem}")
        verdict = "FAIL" if report.problems else "PASS"
        console.result(f"{name}: {verdict}, {report.bound} numbers bound, {len(report.problems)} problems")
        reports.append(report)
    write_json(json_path, [vars(report) for report in reports])
    raise typer.Exit(int(ExitCode.FAIL if any(report.problems for report in reports) else ExitCode.OK))


@app.command()
def collect(
    names: SomeArgument = None,
    measure: Annotated[bool, typer.Option("--measure", help="Time the ratios again; wants a quiet machine.")] = False,
    rewrite: Annotated[bool, typer.Option("--rewrite", help="Renew the bound numbers in the prose.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Write evidence.json from docs/results and from what can be computed here; then look at the difference.

    Example: drillyard design collect fraud --rewrite
    """
    import designs
    from designs import binding, evidence
    from designs.collect import collect as gather
    from designs.opened import open_design

    console = Console(quiet=quiet, json_path=None)
    # All before any is written: the first file would make the checkout differ from its commit for the next.
    found = {name: gather(name, measure=measure, say=console.say) for name in names or designs.names()}
    for name, values in found.items():
        console.result(f"evidence: {evidence.write(name, values)}")
        if rewrite:
            opened = open_design(name)
            opened.readme.write_text(binding.rewrite(opened.readme.read_text(), opened.figures))
            console.result(f"prose: {opened.readme}; read what changed, words may no longer fit")


def is_command(text: str) -> bool:
    """Whether a documented call is one of ours: known command, known options, known make target."""
    from typer.main import get_command

    from designs.evidence import ROOT
    from drillyard.cli.app import app as whole

    words = shlex.split(text)
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text()
        return len(words) > 1 and re.search(rf"^{re.escape(words[1])}:", makefile, flags=re.MULTILINE) is not None
    command: Any = get_command(whole)
    rest = words[1:]
    while rest and getattr(command, "commands", None) and rest[0] in command.commands:
        command, rest = command.commands[rest[0]], rest[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    is_leaf = getattr(command, "commands", None) is None
    return is_leaf and {word for word in rest if word.startswith("--")} <= known | {"--help"}


def _assignment(text: str) -> tuple[str, float]:
    key, _, value = text.partition("=")
    try:
        return key, float(value)
    except ValueError:
        raise UsageError("--set", text, "KEY=NUMBER, such as zones_count=2") from None


def _capacity(name: str, given: dict[str, float], console: Console) -> Any:
    """The twin's answer, printed too; None where it was never calibrated."""
    from designs.capacity import calibration, capacity
    from designs.opened import open_design

    opened = open_design(name, given)
    model = opened.design.drill.model
    found = calibration(model, settings().home)
    if found is None:
        console.result(f"capacity is from CPU time alone; the twin knows queues: drillyard twin calibrate {model}")
        return None
    console.say("asking the twin, which takes some seconds")
    answer = capacity(opened, found)
    p99, highest = answer.prediction.p99_ms, answer.sustainable_rps
    console.result(
        f"twin, calibrated on {answer.machine}: {answer.replicas} of the replicas on such a machine get "
        f"{answer.rate_rps:,.0f} requests/s, p99 {p99.value:.1f} ms ({p99.low:.1f} to {p99.high:.1f}), "
        f"{answer.prediction.shed_share.value:.1%} refused; it sustains {highest.value:,.0f} requests/s "
        f"({highest.low:,.0f} to {highest.high:,.0f}), so the peak with a zone lost takes {answer.machines} of them"
    )
    return answer.model_dump(mode="json")


def _print_what_if(answer: Any, console: Console) -> None:
    from rich.table import Table

    from designs.figures import shown

    table = Table("figure", "design", "what if", "unit", "from", box=None)
    changed = [row for row in answer.rows if row.changed]
    for row in changed:
        table.add_row(row.key, shown(row.before), shown(row.after), row.unit, row.source)
    console.result(table)
    console.result(f"{len(answer.rows) - len(changed)} other figures stay as they are")
    for text in answer.broken:
        console.result(f"BREAKS {text}")
    if not answer.broken:
        console.result("every bound of the design holds")
