"""`drillyard demo`: every example system from raw data to a scored drill."""

import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from drillyard.cli import drill as drills
from drillyard.cli import train as training
from drillyard.cli.console import Console, DataDirOption, JsonOption, QuietOption, settings, write_json

NEXT = """What next:
  drillyard serve up                        serve both models; their API page is http://127.0.0.1:8000/docs
  drillyard drill run fraud --rate 1000     drill harder, in a second terminal
  make mlflow                               look at runs, plots and models in MLflow's page"""


def demo(
    port: Annotated[int, typer.Option(help="Port to serve on meanwhile.", min=1, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(help="Data-parallel training workers.", min=1)] = 2,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train also where a champion of the recipe exists.")] = False,
    data_dir: DataDirOption = None,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Train, track, export, register, serve and drill every example system; leaves no process behind.

    Exit code 0 when every drill passes, 1 when one fails, 3 when one is invalid. Example: drillyard demo
    """
    import designs

    console, where = Console(quiet=quiet, json_path=json_path), settings(data_dir)
    plans = {name: designs.get(name).drill for name in designs.systems()}

    console.stage("1/4  data")
    fetch_s = _fetch(list(plans), where, console)
    started = time.monotonic()
    console.stage("2/4  train, track, export, register")
    reused = _train(list(plans), where, port, workers, fresh, console)
    console.stage("3/4  serve and drill")
    results = _serve_and_drill(plans, where, port, console)
    console.stage("4/4  score")
    cards = {name: _champion(name, where) for name in plans}
    elapsed_s = time.monotonic() - started

    content = {
        "elapsed_s": round(elapsed_s, 1),
        "fetch_s": round(fetch_s, 1),
        "reused": reused,
        "commit": next(iter(results.values())).commit,
        "machine": next(iter(results.values())).machine,
        "systems": {name: _system_summary(cards[name], results[name]) for name in plans},
    }
    for target in (where.reports / "demo.json", json_path):
        write_json(target, content)
    _close(cards, list(results.values()), where, elapsed_s, console)
    raise typer.Exit(max(int(result.verdict.exit_code) for result in results.values()))


def _fetch(names: list[str], where: Any, console: Console) -> float:
    from pipelines import sources, system

    started = time.monotonic()
    for name in names:
        dataset = system.get(name).recipe().dataset
        paths = sources.fetch(dataset, where, console.say)
        console.say(f"{dataset}: {len(paths)} files verified")
    return time.monotonic() - started


def _train(names: list[str], where: Any, port: int, workers: int, fresh: bool, console: Console) -> list[str]:
    """Train what has no champion of its default recipe yet; returns the names of those that had."""
    from pipelines import system
    from pipelines.cluster import ray_cluster
    from serving import lifecycle
    from serving.recipes import laptop

    # What would stop the demo half way is better known before the training.
    lifecycle.check_can_start(laptop(*names, port=port, grpc_port=0), where)
    recipes = {name: system.get(name).recipe() for name in names}
    reused = [] if fresh else [name for name in names if _has_champion(name, recipes[name], where)]
    for name in reused:
        console.say(f"{name}: the champion is of recipe {recipes[name].name!r} already (--fresh trains it again)")
    waiting = [name for name in names if name not in reused]
    if waiting:
        console.say("starting Ray")
        with ray_cluster(where):
            for name in waiting:
                training.show(training.run(recipes[name], where, workers, console), console)
    return reused


def _has_champion(name: str, recipe: Any, where: Any) -> bool:
    from drillyard.core.errors import ModelNotFound

    try:
        card = _champion(name, where)
    except ModelNotFound:
        return False
    return bool(card.recipe == recipe.name and card.dataset.name == recipe.dataset)


def _champion(name: str, where: Any) -> Any:
    from drillyard.core.contract import CHAMPION, ModelRef
    from pipelines import registry

    return registry.read_card(ModelRef(name=name, alias=CHAMPION), where)


def _serve_and_drill(plans: dict[str, Any], where: Any, port: int, console: Console) -> dict[str, Any]:
    from drillyard.core.contract import CHAMPION, ModelRef
    from serving import lifecycle
    from serving.recipes import laptop

    server = lifecycle.start_detached(laptop(*plans, port=port, grpc_port=0), where, on_progress=console.say)
    try:
        console.say(f"serving at {server.url}")
        return {
            name: drills.drill(plan, ModelRef(name=name, alias=CHAMPION), server.url, where, console)
            for name, plan in plans.items()
        }
    finally:
        lifecycle.stop(where)


def _system_summary(card: Any, result: Any) -> dict[str, Any]:
    return {
        "model": f"{card.name}/{card.version}",
        "dataset": card.dataset.name,
        "metrics": card.metrics,
        "baselines": card.baselines,
        "drill": result.model_dump(
            mode="json", include={"verdict", "reasons", "offered_rps", "goodput_rps", "p50_ms", "p99_ms", "errors"}
        ),
    }


def _close(cards: dict[str, Any], results: list[Any], where: Any, elapsed_s: float, console: Console) -> None:
    from loadtests.report.scorecard import scorecard
    from pipelines import tracking

    with tempfile.TemporaryDirectory() as folder:
        sections = tuple(
            _quality(card, tracking.download_plots(card.run_id, Path(folder) / name)) for name, card in cards.items()
        )
        report = drills.write_report(
            results, where.reports / "demo.html", title="drillyard demo: from raw data to a verdict", sections=sections
        )
    console.result(scorecard(results))
    for result in results:
        files = (where.reports / drills.report_name(result.plan)).with_suffix(".json")
        drills.track(result, [files, report], where, console)
    console.result(f"report: {report}\nfigures: {where.reports / 'demo.json'}")
    console.result(f"{elapsed_s:.0f} s after the data was there\n\n{NEXT}")


def _quality(card: Any, plots: Path) -> Any:
    from loadtests.report.page import Section

    rows = [
        [name, f"{value:.4f}", f"{low:.4f} to {high:.4f}"]
        + [f"{values[name][0]:.4f}" if name in values else "" for values in card.baselines.values()]
        for name, (value, low, high) in card.metrics.items()
    ]
    return Section(
        title=f"What {card.name}/{card.version} is worth on the test slice of {card.dataset.name}",
        rows=[["metric", "model", "95% interval", *card.baselines], *rows],
        images=[(path.stem.replace("_", " "), path) for path in sorted(plots.glob("*.png"))],
    )
