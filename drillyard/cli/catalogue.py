"""`drillyard drill all`: the catalogue put to every system, one after the other, with what came of it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from drillyard.cli.console import Console, JsonOption, QuietOption, settings, write_json
from drillyard.core.errors import DrillyardError, ExitCode, ServiceUnreachable


def run_all(
    systems: Annotated[
        list[str] | None, typer.Argument(help="Systems with a champion; default every system's.")
    ] = None,
    names: Annotated[list[str] | None, typer.Option("--drill", help="Only these, which may be given again.")] = None,
    port: Annotated[int, typer.Option(help="Port to serve on meanwhile.", min=1, max=65535)] = 8000,
    out: Annotated[
        Path | None, typer.Option(help="Folder for drills-SYSTEM.json and plots; default the reports.", file_okay=False)
    ] = None,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Serve the champions and put them through every drill; leaves no process behind.

    It takes about thirty minutes for the first system, and fifteen for each other.
    Faults strike what all systems share, so drills with faults are run for the first system only. Results are added to
    those of earlier calls, so that one drill can be run again.

    Exit code 0 when every hypothesis held, 1 when one was refuted, 3 when a measurement is invalid. Example: drillyard
    drill all fraud vision --drill steady --drill spike
    """
    import designs
    from loadtests.catalogue import drills

    console, where = Console(quiet=quiet, json_path=json_path), settings()
    chosen = [drills.get(name) for name in names or drills.CATALOGUE]
    plans = {name: designs.get(name).drill for name in systems or designs.systems()}
    folder = out or where.reports
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in plans}
    started = time.monotonic()
    for options in dict.fromkeys(drill.serve for drill in chosen):
        with _serving(list(plans), options, port, console):
            for drill in (drill for drill in chosen if drill.serve == options):
                for name, plan in _asked(drill, plans):
                    row = _carried_out(drill, plan, f"http://127.0.0.1:{port}", where, folder, console)
                    found[name].append(row)
                    _keep(folder / f"drills-{name}.json", row)  # at once, since a later one may end the whole
    console.say(f"{sum(map(len, found.values()))} drills in {time.monotonic() - started:.0f} s")
    write_json(json_path, found)
    raise typer.Exit(int(_exit_code([row for rows in found.values() for row in rows])))


def _asked(drill: Any, plans: dict[str, Any]) -> list[tuple[str, Any]]:
    """The systems to put this drill to, with their plans."""
    found = list(plans.items())
    return found[:1] if drill.planned(found[0][1]).strikes else found


@contextmanager
def _serving(models: list[str], options: tuple[str, ...], port: int, console: Console) -> Iterator[None]:
    """A server for a while, started and ended as a person would. Raises ServiceUnreachable with what it says."""
    from loadtests.chaos.target import drillyard

    console.say(" ".join(("serving", *models, *options)))
    up = ("serve", "up", *models, "--detach", "--port", str(port), "--grpc-port", "0", *options)
    started = drillyard(*up)
    if started.returncode:
        raise ServiceUnreachable("the server", f"port {port}", _last_line(started.stderr))
    try:
        yield
    finally:
        drillyard("serve", "down").check_returncode()


def _last_line(stderr: bytes) -> str:
    """The last line, which is where commands say what was wrong."""
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it says nothing"


def _carried_out(drill: Any, design: Any, url: str, where: Any, folder: Path, console: Console) -> dict[str, Any]:
    """One drill of one system: its row, and its plot in the folder. A drill that cannot be measured is a row too."""
    from drillyard.cli.drill import drill as once
    from drillyard.core.contract import CHAMPION, ModelRef
    from loadtests.report import plots, summary
    from loadtests.steady import kept_up

    plan, ref = drill.planned(design), ModelRef(name=design.model, alias=CHAMPION)
    try:
        result = kept_up(lambda: drill.run(plan, lambda each: once(each, ref, url, where, console)), console.say)
    except DrillyardError as error:
        console.say(f"{drill.name} of {design.model}: {error}")
        return summary.unmeasured(plan, str(error))
    for line in summary.lines(result):
        console.say(line)
    picture = folder / f"drills-{design.model}-{drill.name}.svg"
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text(plots.standalone(plots.of(result)))
    return summary.row(result, plot=picture.name)


def _keep(path: Path, row: dict[str, Any]) -> None:
    """Add the row to the file's rows, in the place of an earlier one of the same drill."""
    rows = json.loads(path.read_text())["drills"] if path.exists() else []
    rows = [each for each in rows if each["drill"] != row["drill"]]
    write_json(path, {"drills": [*rows, row]})


def _exit_code(rows: list[dict[str, Any]]) -> ExitCode:
    if any(row["verdict"] == "INVALID" for row in rows):
        return ExitCode.INVALID
    return ExitCode.OK if all(row["hypothesis_held"] for row in rows) else ExitCode.FAIL
