"""One recipe over several seeds: its metrics on the test slice and its training time, with spread.

    python -m pipelines.bench_model fraud --seeds 5        writes .drillyard/reports/bench-fraud-base.json
    python -m pipelines.bench_model vision --recipe cifar --data-dir FOLDER --seeds 1

Nothing is registered; this measures the training path alone.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from drillyard.core import entry, provenance
from drillyard.core.benchmark import keep, say
from drillyard.core.settings import Settings
from pipelines.cluster import ray_cluster


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system")
    parser.add_argument("--recipe")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    settings = Settings.from_env(os.environ)
    if options.data_dir is not None:
        settings = settings.model_copy(update={"data_dir": options.data_dir.resolve()})
    with ray_cluster(settings):
        content = _measure(options.system, options.recipe, options.seeds, options.workers, settings)
    _print(content, keep(settings, f"bench-{options.system}-{content['recipe']}", content))


def _measure(name: str, recipe_name: str | None, seeds: int, workers: int, settings: Settings) -> dict[str, Any]:
    from pipelines import export, quantize, system, trainer
    from pipelines.graph import predictor

    origin = provenance.stamp()  # now: the files may change while this runs
    the_system = system.get(name)
    recipe = the_system.recipe(recipe_name)
    data = the_system.load(recipe.dataset, settings)
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        seeded = replace(recipe, train=replace(recipe.train, seed=seed))
        with tempfile.TemporaryDirectory() as name_:
            folder = Path(name_)
            started = time.monotonic()
            trained = trainer.train(seeded, data, workers=workers, folder=folder)
            fit_s = time.monotonic() - started
            model = seeded.model.build(data.labels)
            model.load_state_dict(trained.weights)
            the_system.calibrate(model.eval(), data)
            graph = folder / "model.onnx"
            export.export(model.serving(), seeded.model.spec(data.labels), graph)
            if seeded.int8:
                exact = graph.rename(folder / "exact.onnx")
                quantize.quantize(exact, graph, data.train.inputs)
            evaluation = the_system.evaluate(predictor(graph), data, folder, seed)
        parameters = sum(weight.numel() for weight in model.parameters())
        row = {
            "seed": seed,
            "train_s": trained.records[-1].elapsed_s,
            "fit_s": fit_s,
            "samples_per_s": trained.records[-1].samples_per_s,
            "device": trained.device,
            "metrics": evaluation.metrics,
            "baselines": evaluation.baselines,
        }
        rows.append(row)
        value = evaluation.metrics[the_system.primary_metric][0]
        say(f"seed {seed}: {the_system.primary_metric} {value:.4f}  {row['train_s']:.0f} s in the loop")
    return {
        **origin,
        "system": name,
        "recipe": recipe.name,
        "dataset": recipe.dataset,
        "parameters": parameters,
        "workers": workers,
        "primary_metric": the_system.primary_metric,
        "runs": rows,
    }


def _print(content: dict[str, Any], path: Path) -> None:
    for metric in content["runs"][0]["metrics"]:
        values = [run["metrics"][metric][0] for run in content["runs"]]
        spread = f" sd {stdev(values):.4f}" if len(values) > 1 else ""
        sys.stdout.write(f"{metric}: mean {mean(values):.4f}{spread} {[round(value, 4) for value in values]}\n")
        for name in content["runs"][0]["baselines"]:
            others = [run["baselines"][name].get(metric, [None])[0] for run in content["runs"]]
            if None not in others and mean(others) > 0:
                ratio = mean(values) / mean(others)
                sys.stdout.write(f"    {name}: mean {mean(others):.4f}, this is {ratio:.2f} times that\n")
    times = [run["train_s"] for run in content["runs"]]
    sys.stdout.write(f"training loop: {min(times):.0f} to {max(times):.0f} s; figures: {path}\n")


if __name__ == "__main__":
    entry.run(main)
