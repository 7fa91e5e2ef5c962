"""What each part of fast training gives: the loop without it over the loop with all of them, in alternating rounds.

make bench-parts        (two gloo workers under torchrun; writes .drillyard/reports/bench-parts-base.json)
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial

from drillyard.core import entry, provenance
from drillyard.core.benchmark import alternating, keep, ratio, say
from drillyard.core.settings import Settings
from pipelines.bench_train import under_torchrun
from pipelines.loop import KEEP_MEMORY
from pipelines.torchrun import Job

ALL = "all"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=20_000, help="training rows of an epoch")
    options = parser.parse_args()
    settings = Settings.from_env(os.environ)
    origin = provenance.stamp()  # now: the files may change while this runs
    job = Job(
        system="vision",
        recipe="base",
        dataset="fashion-mnist",
        rows=options.rows,
        epochs=2,
        precision="bf16",
        channels_last=True,
    )
    found = contenders(job)
    rates: dict[str, list[float]] = {name: [] for name in found}
    for number, name in alternating(list(found), options.rounds):
        rates[name].append(found[name]())
        say(f"round {number}/{options.rounds}  {name:14} {rates[name][-1]:8.0f} images/s")
    summary = ratios(rates)
    content = {**origin, "job": asdict(job), "images_per_s": rates, "ratios": summary}
    path = keep(settings, f"bench-parts-{job.recipe}", content)
    for name, values in summary.items():
        sys.stdout.write(f"without {name}: {values['median']:.2f} ({values['low']:.2f} to {values['high']:.2f})\n")
    sys.stdout.write(f"figures: {path}\n")


def contenders(job: Job) -> dict[str, Callable[[], float]]:
    """The whole loop, and the loop without one part each; every call gives images a second."""
    quarter = job.made().train.batch_size // 4
    return {
        ALL: partial(under_torchrun, job, KEEP_MEMORY),
        "second_worker": partial(under_torchrun, job, KEEP_MEMORY, workers=1),
        "bf16": partial(under_torchrun, replace(job, precision="fp32"), KEEP_MEMORY),
        "channels_last": partial(under_torchrun, replace(job, channels_last=False), KEEP_MEMORY),
        "kept_memory": partial(under_torchrun, job, {}),
        "large_batch": partial(under_torchrun, replace(job, batch_size=quarter), KEEP_MEMORY),
    }


def ratios(rates: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    """Speed without each part over the speed with all, taken within rounds."""
    return {name: ratio(values, rates[ALL]) for name, values in rates.items() if name != ALL}


if __name__ == "__main__":
    entry.run(main)
