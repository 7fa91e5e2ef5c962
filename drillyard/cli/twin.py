"""`drillyard twin`: measure a running server, and ask its model what was not measured."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from drillyard.cli.console import Console, JsonOption, QuietOption, settings, write_json

app = typer.Typer(help="Predict a server's behaviour from a measured queueing model.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(help="Name of a served model.")]

CalibrationOption = Annotated[
    Path | None, typer.Option(help="A calibration file; default this folder's.", dir_okay=False, exists=True)
]


@app.command()
def calibrate(
    model: Model,
    rounds: Annotated[int, typer.Option(help="Passes; their spread is the calibration's uncertainty.", min=1)] = 3,
    duration: Annotated[float, typer.Option(help="Seconds of each drill.", min=4)] = 8,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Drill this folder's running server with one user and at five rates, and keep what the twin needs to know.

    Takes about a minute and a half a round; nothing else should run meanwhile. The server must be on this machine, as
    the CPU time of its processes is read too. Example: drillyard twin calibrate fraud --rounds 4
    """
    import designs
    from designs.twin.calibrate import calibrate as measure
    from designs.twin.observe import Observer
    from loadtests.bench.server import samples
    from loadtests.chaos.target import Target

    console, where = Console(quiet=quiet, json_path=json_path), settings()
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
    calibration: CalibrationOption = None,
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
    console = Console(quiet=quiet, json_path=json_path)
    console.say("simulating the load")
    prediction = answer(found, scenario)
    console.say("looking for the highest sustainable rate; with many replicas this takes a minute")
    highest = sustainable_rps(found, scenario)
    console.result(_predicted(prediction, highest))
    write_json(json_path, {**prediction.model_dump(mode="json"), "sustainable_rps": highest.model_dump()})


@app.command()
def plan(
    model: Model,
    rps: Annotated[float, typer.Option(help="Requests a second at the peak, over all regions.", min=1)],
    usd_per_hour: Annotated[float, typer.Option(help="Price of one node like the calibrated one.", min=0.0001)],
    regions: Annotated[int, typer.Option(help="With equal parts of the traffic.", min=1)] = 3,
    zones: Annotated[int, typer.Option(help="Of each region.", min=1)] = 3,
    lost_zones: Annotated[int, typer.Option(help="Of each region, that may be lost at the peak.", min=0)] = 1,
    target: Annotated[float, typer.Option(help="Share of a node's capacity to use at most.", min=0.01, max=1)] = 0.6,
    mean_share: Annotated[float, typer.Option(help="Mean rate of the day over the peak.", min=0.01, max=1)] = 0.5,
    replicas: Annotated[int, typer.Option(help="Processes of the model on a node.", min=1)] = 1,
    calibration: CalibrationOption = None,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Count nodes and cost for a demand that one machine cannot hold, from the twin's capacity of one.

    Callers have machines of their own, as in production. The assumptions are part of the answer.
    Example: drillyard twin plan fraud --rps 1000000 --usd-per-hour 0.1
    """
    import designs
    from designs.plan import Demand, NodeType
    from designs.plan import plan as planned
    from designs.twin import Scenario, sustainable_rps
    from drillyard.core.errors import UsageError
    from drillyard.core.load import Load

    found = _calibration(calibration or _calibration_path(settings(), model))
    slo = designs.get(model).drill.slo
    load = Load(rate_rps=1, duration_s=1)  # the highest sustainable rate does not depend on it
    asked = Scenario(load=load, slo=slo, replicas=replicas, generator_on_node=False)
    console = Console(quiet=quiet, json_path=json_path)
    console.say("looking for one node's capacity; with many replicas this takes a minute")
    capacity = sustainable_rps(found, asked).low
    if capacity <= 0:
        raise UsageError("model", found.model, "one that keeps its promise at some rate; the twin finds none")
    demand = Demand(peak_rps=rps, mean_share=mean_share, regions=regions, zones_per_region=zones, lost_zones=lost_zones)
    source = f"the twin of {found.model}, lowest of {len(found.rounds)} rounds, commit {found.commit}, {found.machine}"
    node = NodeType(capacity_rps=capacity, usd_per_hour=usd_per_hour, utilisation_target=target, capacity_source=source)
    answer = planned(demand, node)
    console.result(_planned(answer))
    write_json(json_path, answer)


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


def _planned(answer: Any) -> Any:
    from rich.table import Table

    demand = answer.demand
    table = Table(title=f"{demand.peak_rps:,.0f} requests/s in {demand.regions} regions", show_header=False)
    table.add_row("nodes", f"{answer.nodes:,} ({answer.nodes_per_zone:,} in each of {demand.zones_per_region} zones)")
    table.add_row("filled at the peak", f"{answer.utilisation_at_peak:.0%} of what a node carries")
    table.add_row(f"with {demand.lost_zones} zones lost", f"{answer.utilisation_after_loss:.0%}")
    table.add_row("headroom", f"{answer.headroom_rps:,.0f} requests/s")
    table.add_row("cost", f"{answer.usd_per_hour:,.2f} USD/hour, {answer.usd_per_month:,.0f} USD/month")
    table.add_row("cost of a million requests", f"{answer.usd_per_million_requests:.3f} USD")
    for assumption in answer.assumptions:
        table.add_row("assumed", assumption)
    return table
