"""`drillyard twin`: measure a running server, and ask its model what was not measured."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from drillyard.cli.console import Console, JsonOption, QuietOption, settings, write_json

app = typer.Typer(help="Predict a server's behaviour from a measured queueing model.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(help="Name of a served model.")]


@app.command()
def calibrate(
    model: Model,
    rounds: Annotated[int, typer.Option(help="Passes; their spread is the calibration's uncertainty.", min=1)] = 2,
    duration: Annotated[float, typer.Option(help="Seconds of each drill.", min=4)] = 8,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Drill this folder's running server with one user and at five rates, and keep what the twin needs to know.

    Takes about a minute and a half a round; nothing else should run meanwhile. The server must be on this machine, as
    the CPU time of its processes is read too. Example: drillyard twin calibrate fraud --rounds 2
    """
    import designs
    from designs.twin.calibrate import calibrate as measure
    from designs.twin.observe import Observer
    from loadtests.bench_server import samples
    from loadtests.target import Target

    console, where = Console(quiet, json_path), settings()
    target = Target.of(where, model)
    observer = Observer(
        target, samples=samples(where, model), slo=designs.get(model).drill.slo, reports=where.reports, say=console.say
    )
    found = measure(observer, rounds=rounds, seconds=duration)
    path = _calibration_path(where, model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(found.model_dump_json(indent=1) + "\n")
    console.result(_calibrated(found))
    console.result(f"calibration: {path}")
    write_json(json_path, found)


@app.command()
def predict(
    model: Model,
    rps: Annotated[float, typer.Option(help="Requests a second.", min=0.1)],
    replicas: Annotated[int, typer.Option(help="Processes of the model.", min=1)] = 1,
    duration: Annotated[float, typer.Option(help="Seconds of the load.", min=1)] = 30,
    shape: Annotated[str, typer.Option(help="Of the load: a name, or JSON with kind and figures.")] = "poisson",
    batch: Annotated[int | None, typer.Option(help="Most rows of one call; default the server's.", min=1)] = None,
    fault: Annotated[
        Literal["kill", "freeze"] | None, typer.Option(help="Of one replica, after a third of the load.")
    ] = None,
    lasts: Annotated[float, typer.Option(help="Seconds until it is replaced, or wakes.", min=0.1)] = 5,
    max_replicas: Annotated[int | None, typer.Option(help="With the autoscaler, up to so many.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of the arrivals: those of a drill with this seed.", min=0)] = 0,
    calibration: Annotated[
        Path | None, typer.Option(help="A calibration file; default this folder's.", dir_okay=False, exists=True)
    ] = None,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Say what a drill of this load would measure, and the highest rate within the design's promise.

    Figures are medians over the calibration's rounds, with the lowest and the highest in brackets.
    Example: drillyard twin predict fraud --rps 800 --replicas 2
    """
    import designs
    from designs.twin import Outage, Scaling, Scenario, sustainable_rps
    from designs.twin import predict as answer
    from drillyard.core.load import Load, parse_shape

    found = _calibration(calibration or _calibration_path(settings(), model))
    outage = None if fault is None else Outage(kind=fault, at_s=duration / 3, lasts_s=lasts)
    scenario = Scenario(
        load=Load(rate_rps=rps, duration_s=duration, seed=seed, shape=parse_shape(shape)),
        slo=designs.get(model).drill.slo,
        replicas=replicas,
        max_rows=batch,
        outage=outage,
        scaling=None if max_replicas is None else Scaling(max_replicas=max_replicas),
    )
    prediction, highest = answer(found, scenario), sustainable_rps(found, scenario)
    Console(quiet, json_path).result(_predicted(prediction, highest))
    write_json(json_path, {**prediction.model_dump(mode="json"), "sustainable_rps": highest.model_dump()})


def _calibration_path(where: Any, model: str) -> Path:
    return Path(where.home) / "twin" / f"{model}.json"


def _calibration(path: Path) -> Any:
    from pydantic import ValidationError

    from designs.twin import Calibration
    from drillyard.core.errors import UsageError

    try:
        return Calibration.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UsageError("calibration", str(path), "a file that `drillyard twin calibrate` wrote") from None
    except ValidationError as exc:
        raise UsageError("calibration", str(path), f"a Calibration as JSON ({exc.errors()[0]['msg']})") from exc


def _calibrated(found: Any) -> Any:
    from rich.table import Table

    table = Table(title=f"{found.model}: what a request costs at each rate, by round")
    for head in ("requests/s", "proxy", "event loop", "waits for a core", "delay", "spread", "p50", "p99"):
        table.add_column(head, justify="right")
    for each in found.rounds:
        for point in each.points:
            cost = [f"{point.rate_rps:,.0f}", f"{point.proxy_us:.0f} us", f"{point.loop_us:.0f} us"]
            fitted = [f"{point.loop_wait:.0%}", f"{point.delay_ms:.2f} ms", f"{point.spread:.1f}"]
            table.add_row(*cost, *fitted, f"{point.p50_ms:.2f} ms", f"{point.p99_ms:.2f} ms")
    return table


def _predicted(found: Any, highest: Any) -> Any:
    from rich.table import Table

    def figure(span: Any, form: str, unit: str = "") -> str:
        return f"{span.value:{form}}{unit} ({span.low:{form}} to {span.high:{form}})"

    table = Table(title=f"{found.model} under {found.scenario.load.words}", show_header=False)
    table.add_row("p50 latency", figure(found.p50_ms, ".2f", " ms"))
    table.add_row("p99 latency", figure(found.p99_ms, ".2f", " ms"))
    table.add_row("longest", figure(found.max_ms, ".1f", " ms"))
    table.add_row(f"utilisation ({found.bottleneck})", figure(found.utilisation, ".0%"))
    table.add_row("answered 503", figure(found.shed_share, ".2%"))
    table.add_row("never answered", figure(found.failed_share, ".2%"))
    table.add_row("highest sustainable rate", figure(highest, ",.0f", " requests/s"))
    if found.extrapolated:
        table.add_row("extrapolated", "beyond the rates that were measured")
    return table
