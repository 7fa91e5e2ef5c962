"""`drillyard train`: recipe to registered champion."""

from typing import Annotated, Any

import typer

from drillyard.cli.console import Console, DataDirOption, JsonOption, QuietOption, settings, write_json
from drillyard.cli.scraped import PortOption, scraped


def train(
    system: Annotated[str, typer.Argument(help="What to train: vision or fraud.")],
    recipe: Annotated[str | None, typer.Option(help="One of the system's recipes; default its base.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Another data set than the recipe's, or where `data shard` wrote one.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Data-parallel workers, one CPU or GPU each.", min=1)] = 2,
    seed: Annotated[int | None, typer.Option(help="Another seed than the recipe's.", min=0)] = None,
    data_dir: DataDirOption = None,
    metrics_port: PortOption = None,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Train a system on Ray, track it in MLflow, export it to ONNX, register it and put it to the gate.

    Example: drillyard train fraud --workers 2
    """
    from dataclasses import replace

    from pipelines import sources
    from pipelines import system as systems
    from pipelines.cluster import ray_cluster
    from pipelines.storage import is_location

    console = Console(quiet=quiet, json_path=json_path)
    the_system = systems.get(system)
    chosen = the_system.recipe(recipe)
    if dataset is not None:
        chosen = replace(chosen, dataset=dataset)
    if seed is not None:
        chosen = replace(chosen, train=replace(chosen.train, seed=seed))
    views = {make().dataset for make in the_system.recipes().values()}  # of sources, such as one left unfiltered
    if not is_location(chosen.dataset) and chosen.dataset not in views:
        sources.get(chosen.dataset)  # a wrong name is said before Ray is started
    where = settings(data_dir)
    console.say("starting Ray")
    with ray_cluster(where):
        outcome = run(chosen, where, workers, console, metrics_port)
    show(outcome, console)
    write_json(json_path, summary(outcome))
    if not outcome.promoted:
        raise typer.Exit(1)


def run(recipe: Any, where: Any, workers: int, console: Console, metrics_port: int | None = None) -> Any:
    """One training run with progress on the console; Ray must be initialised."""
    from pipelines import pipeline
    from pipelines.exporter import Exporter
    from pipelines.loop import Record

    exporter = Exporter(recipe.system, recipe.name)
    with console.step(recipe.system) as step, scraped(exporter, metrics_port):

        def on_record(record: Record) -> None:
            left_s = (record.total_steps - record.step) * record.elapsed_s / record.step
            facts = {
                "epoch": f"{record.epoch}/{record.epochs}",
                "loss": f"{record.loss:.3f}",
                "rows/s": f"{record.samples_per_s:,.0f}",
                "ETA": f"{left_s:.0f} s",
            }
            if record.validation_loss is not None:
                facts["validation loss"] = f"{record.validation_loss:.3f}"
            step.update(record.step, record.total_steps, facts)
            exporter.follow(record)

        listener = pipeline.Listener(say=console.say, on_record=on_record)
        return pipeline.run(recipe, where, workers=workers, listener=listener)


def show(outcome: Any, console: Console) -> None:
    """The model's worth beside its baselines, and what the gate said."""
    from rich.table import Table

    baselines = outcome.evaluation.baselines
    table = Table("metric (test slice)", str(outcome.ref), "95% interval", *baselines, box=None)
    for name, (value, low, high) in outcome.evaluation.metrics.items():
        others = [f"{baselines[b][name][0]:.4f}" if name in baselines[b] else "" for b in baselines]
        table.add_row(name, f"{value:.4f}", f"{low:.4f} to {high:.4f}", *others)
    console.result(table)
    where = f"trained {outcome.train_s:.0f} s on {outcome.device}; run kept in {outcome.folder}"
    console.result(f"{outcome.ref} is {'champion' if outcome.promoted else 'challenger'}; {where}")
    if outcome.gate:
        console.result(f"gate: {outcome.gate}")


def summary(outcome: Any) -> dict[str, Any]:
    """The outcome as plain values."""
    return {
        "model": str(outcome.ref),
        "promoted": outcome.promoted,
        "gate": outcome.gate,
        "dataset": outcome.card.dataset.name,
        "metrics": outcome.evaluation.metrics,
        "baselines": outcome.evaluation.baselines,
        "train_s": outcome.train_s,
        "total_s": outcome.total_s,
        "restarts": outcome.restarts,
        "device": outcome.device,
        "commit": outcome.card.commit,
        "run_folder": str(outcome.folder),
    }
