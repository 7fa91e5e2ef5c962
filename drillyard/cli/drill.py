"""`drillyard drill`: put a served model under load and score it against its promise."""

from pathlib import Path
from typing import Annotated, Any

import typer

from drillyard.cli import catalogue, compare, issues
from drillyard.cli.console import Console, JsonOption, QuietOption, settings, write_json
from drillyard.cli.scraped import PortOption, scraped
from drillyard.core.errors import DrillyardError

app = typer.Typer(help="Load a served model and score it against its SLO.", no_args_is_help=True)
app.command("all")(catalogue.run_all)
for command in (issues.issues, issues.issue, compare.compare):
    app.command()(command)


@app.command("list")
def list_drills(
    model: Annotated[str | None, typer.Argument(help="A system: what each drill would ask of it.")] = None,
    json_path: JsonOption = None,
) -> None:
    """List the drills there are and what each teaches; with a system, also its loads and hypotheses.

    Example: drillyard drill list fraud
    """
    from rich.table import Table

    import designs
    from loadtests.catalogue.drills import CATALOGUE

    plans = {name: each.planned(designs.get(model).drill) for name, each in CATALOGUE.items()} if model else {}
    table = Table("drill", "what it teaches", *(("load", "hypothesis") if model else ()), show_lines=bool(model))
    for name, each in CATALOGUE.items():
        table.add_row(name, each.teaches, *(_asked(plans[name]) if model else ()))
    Console(quiet=False, json_path=json_path).result(table)
    found = [{"name": n, "teaches": each.teaches, "plan": plans.get(n)} for n, each in CATALOGUE.items()]
    write_json(json_path, found)


def _asked(plan: Any) -> tuple[str, str]:
    return plan.load.words, plan.hypothesis.text if plan.hypothesis else ""


@app.command()
def run(
    model: Annotated[str, typer.Argument(help="A served model: NAME, NAME@ALIAS or NAME/VERSION.")],
    name: Annotated[str, typer.Option("--drill", help="One of `drillyard drill list`.")] = "steady",
    url: Annotated[str, typer.Option(help="Where it is served.")] = "http://127.0.0.1:8000",
    rate: Annotated[float | None, typer.Option(help="Requests a second; default the design's.", min=0.1)] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds; default the drill's.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Of the arrivals.", min=0)] = None,
    metrics_port: PortOption = None,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Put a served model through a drill, and judge the latencies from the intended send times.

    DRILLYARD_API_KEY in the environment is shown to a server that asks for API keys, and SSL_CERT_FILE names the
    certificate to trust for https.

    Exit code 0 PASS, 1 FAIL, 3 INVALID. Example: drillyard drill run fraud --drill spike --rate 300 --duration 30
    """
    import designs
    from drillyard.core.contract import ModelRef
    from loadtests.catalogue import drills, entry
    from loadtests.report.scorecard import scorecard

    console, where = Console(quiet=quiet, json_path=json_path), settings()
    ref, chosen = ModelRef.parse(model), drills.get(name)
    design = designs.get(ref.name).drill
    changes = {"rate_rps": rate, "seed": seed}
    load = entry.base(design).model_copy(update={key: value for key, value in changes.items() if value is not None})
    plan = chosen.planned(design.model_copy(update={"load": load}), duration)
    result = chosen.run(plan, lambda each: drill(each, ref, url, where, console, metrics_port))
    files = where.reports / report_name(plan)
    write_json(files.with_suffix(".json"), result)
    report = write_report([result], files.with_suffix(".html"), title=f"Drill of {ref}: {name}")
    console.result(scorecard([result]))
    console.result(f"report: {report}")
    track(result, [files.with_suffix(".json"), report], where, console)
    write_json(json_path, result)
    raise typer.Exit(int(result.verdict.exit_code))


def report_name(plan: Any) -> str:
    """Such as `drill-fraud-spike.json`; the plain drill is `drill-fraud.json`."""
    model, name = plan.model.partition("/")[0], plan.name
    return f"drill-{model}.json" if name == "steady" else f"drill-{model}-{name}.json"


def drill(plan: Any, ref: Any, url: str, where: Any, console: Console, metrics_port: int | None = None) -> Any:
    """One drill with progress on the console. Raises ServiceUnreachable, InvalidMeasurement."""
    from loadtests.chaos.target import Target
    from loadtests.generator.exporter import Exporter
    from loadtests.generator.progress import Progress
    from loadtests.launch import run_drill
    from serving.artifact import fetch

    local = fetch(ref, tracking_uri=where.tracking_uri, cache=where.models)
    if not plan.strikes:  # by version, so that a server that holds another one is found out; a strike may change it
        plan = plan.model_copy(update={"model": f"{local.card.name}/{local.card.version}"})
    console.say(f"drill {plan.model}: {plan.load.words}")
    exporter = Exporter(plan.name, plan.model)
    with console.step(f"drill {plan.model}") as step, scraped(exporter, metrics_port):

        def on_progress(progress: Progress) -> None:
            step.update(progress.t_s, progress.duration_s, _facts(progress))
            exporter.follow(progress)

        return run_drill(
            plan,
            url=url,
            samples=local.path,
            out=where.reports / report_name(plan),
            api_key=where.api_key,
            on_progress=on_progress,
            target=Target.of(where, local.card.name) if plan.strikes else None,
        )


def track(result: Any, files: list[Path], where: Any, console: Console) -> None:
    """Log the drill to MLflow. A store that is down costs the run there, and never the drill."""
    from pipelines import tracking

    try:
        run_id = tracking.log_drill(result, files, where)
    except DrillyardError as error:
        console.result(f"not logged to MLflow: {error}; the drill is kept in {files[0]}")
    else:
        console.say(f"logged to MLflow: experiment {tracking.DRILLS}, run {run_id}")


def _facts(progress: Any) -> dict[str, str]:
    left = progress.budget_left
    return {
        "phase": progress.phase,
        "answers/s": f"{progress.rate_rps:,.0f}",
        "p99": f"{progress.p99_ms:.1f} ms",
        "errors": f"{progress.errors:,}",
        "budget left": "none was given" if left is None else f"{left:.0%}",
    }


def write_report(results: list[Any], path: Path, *, title: str, sections: tuple[Any, ...] = ()) -> Path:
    """The self-contained HTML page of these results."""
    from loadtests.report.page import render

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(results, title=title, sections=sections))
    return path
