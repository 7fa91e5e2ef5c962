"""Training throughput: Ray Train, the same loop under torchrun, and the same network trained naively.

Naively means fp32, channels first and the C library's default allocator, also on two processes of one thread.

make bench-train        (alternating rounds in one run; writes .drillyard/reports/bench-train-base.json)
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from drillyard.core import entry, provenance
from drillyard.core.benchmark import alternating, keep, ratio, say
from drillyard.core.settings import Settings
from pipelines import loop
from pipelines.cluster import ray_cluster
from pipelines.torchrun import Job

BARS = {"ray_over_torchrun": 0.95, "ray_over_naive": 2.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recipe", default="base", help="whose network is trained, on Fashion-MNIST")
    parser.add_argument("--rows", type=int, default=54_000, help="training rows of an epoch; default all")
    options = parser.parse_args()
    settings = Settings.from_env(os.environ)

    origin = provenance.stamp()  # now: the files may change while this runs
    fast = Job(
        system="vision",
        recipe=options.recipe,
        dataset="fashion-mnist",
        rows=options.rows,
        epochs=2,
        precision="bf16",
        channels_last=True,
    )
    naive = replace(fast, precision="fp32", channels_last=False)
    contenders: dict[str, Callable[[], float]] = {
        "ray": lambda: _ray(fast),
        "torchrun": lambda: under_torchrun(fast, loop.KEEP_MEMORY),
        "naive": lambda: under_torchrun(naive, {}),
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    with ray_cluster(settings):
        for number, name in alternating(list(contenders), options.rounds):
            rates[name].append(contenders[name]())
            say(f"round {number}/{options.rounds}  {name:9} {rates[name][-1]:8.0f} images/s")
    _report(rates, fast, settings, origin)


def _ray(job: Job) -> float:
    from pipelines import trainer
    from pipelines.system import Dataset

    labels, fit, held = job.arrays()
    rows: Any = None  # evaluation slices are not used by training
    data = Dataset(ref=rows, labels=labels, fit=fit, fit_validation=held, train=rows, validation=rows, test=rows)
    with tempfile.TemporaryDirectory() as folder:
        trained = trainer.train(job.made(), data, workers=2, folder=Path(folder))
    return _second_epoch([asdict(record) for record in trained.records if record.validation_loss is not None], job)


def under_torchrun(job: Job, allocator: dict[str, str], workers: int = 2) -> float:
    """Images a second of the second epoch, without Ray."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(asdict(job)))
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(workers)]
        environment = {**os.environ, **allocator, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*command, "-m", "pipelines.torchrun", str(path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            env=environment,
        )
    if done.returncode != 0:
        raise SystemExit(f"torchrun failed:\n{done.stderr[-2000:]}")
    return _second_epoch(json.loads(done.stdout.strip().splitlines()[-1]), job)


def _second_epoch(ends: list[dict[str, Any]], job: Job) -> float:
    """Images a second from the end of the first epoch to the end of the second: the first one warms up."""
    batch = job.made().train.batch_size
    return (ends[1]["step"] - ends[0]["step"]) * batch / (ends[1]["elapsed_s"] - ends[0]["elapsed_s"])


def _report(rates: dict[str, list[float]], job: Job, settings: Settings, origin: dict[str, str]) -> None:
    summary = {f"ray_over_{other}": ratio(rates["ray"], rates[other]) for other in ("torchrun", "naive")}
    summary = {name: {**values, "bar": BARS[name]} for name, values in summary.items()}
    content = {**origin, "job": asdict(job), "images_per_s": rates, "ratios": summary}
    path = keep(settings, f"bench-train-{job.recipe}", content)
    for name, values in summary.items():
        held = "holds" if values["median"] >= values["bar"] else "MISSED"
        line = f"{name}: {values['median']:.2f} ({values['low']:.2f} to {values['high']:.2f}, n={values['n']})"
        sys.stdout.write(f"{line}  bar {values['bar']} {held}\n")
    sys.stdout.write(f"figures: {path}\n")


if __name__ == "__main__":
    entry.run(main)
