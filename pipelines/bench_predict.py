"""Tables that do not fit memory: `drillyard predict` against onnxruntime in process, and what ten times the rows cost.

make bench-predict      (alternating rounds in one run; writes .drillyard/reports/bench-predict.json)

drillyard writes `all_outputs`, or without the lists of reasons the `scores`. Two contenders do without it, on as many
threads as it has actors: `onnxruntime` only runs sessions on rows that are in memory already and drops what it is told;
`one_process` reads the same files and writes all outputs.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from drillyard.core import entry, provenance
from drillyard.core.benchmark import alternating, keep, ratio, say
from drillyard.core.settings import Settings
from pipelines import bench_children
from pipelines.fraud.data import FEATURES

# Ours over theirs, and the least that it should be. The last says how much of what is missing is reading and writing.
RATIOS = {
    "scores_over_onnxruntime": ("scores", "onnxruntime", 0.8),
    "all_outputs_over_onnxruntime": ("all_outputs", "onnxruntime", 0.8),
    "all_outputs_over_one_process": ("all_outputs", "one_process", None),
}
_SCORES = ("--outputs", "score", "--outputs", "is_fraud")
TIMES = (1, 10, 100)
COMPARED = 10  # times, at which the contenders are compared
STREAMED_TIMES = (1, 10)
FILE_ROWS = 150_000
THREADS = 2
_ROW_BYTES = 4 * len(FEATURES)
_DRILLYARD = [sys.executable, "-c", "from drillyard.cli import main; main()"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=300_000, help="at 1x, for predict; whole files of 150,000")
    parser.add_argument("--store-mb", type=int, default=80, help="object store while training from files; data at 1x")
    options = parser.parse_args()
    settings = Settings.from_env(os.environ)
    origin, started = provenance.stamp(), time.monotonic()  # now: the files may change while this runs
    with tempfile.TemporaryDirectory(prefix="bench-predict-") as name:
        ground = Path(name)
        env = {**os.environ, "DRILLYARD_HOME": str(ground / "home")}
        env.pop("MLFLOW_TRACKING_URI", None)  # a registry of its own
        _register(Settings.from_env(env))
        rates, sizes = _predict(ground, env, options.rows, options.rounds)
        streaming = _stream(ground, env, options.store_mb * 2**20)
    content = {
        **origin,
        "threads": THREADS,
        "rows_per_s": rates,
        "ratios": ratios(rates),
        "sizes": sizes,
        "streaming": streaming,
        "elapsed_s": time.monotonic() - started,
    }
    _print(content, keep(settings, "bench-predict", content))


def _register(settings: Settings) -> None:
    """fraud's base network, trained for a moment: what it says plays no part, how long it takes does."""
    from pipelines.cluster import ray_cluster

    with ray_cluster(settings):
        from pipelines import pipeline, system

        recipe = system.get("fraud").recipe()
        recipe = replace(recipe, dataset="synthetic-transactions", train=replace(recipe.train, epochs=1))
        pipeline.run(recipe, settings, workers=1, listener=pipeline.Listener())


def _predict(
    ground: Path, env: Mapping[str, str], rows: int, rounds: int
) -> tuple[dict[str, list[float]], list[dict[str, Any]]]:
    """Rows a second of each contender by round, at 10x; and what each size took."""
    inputs = {times: _write(ground / f"input-{times}", rows * times) for times in TIMES}
    runs: dict[int, list[dict[str, Any]]] = {times: [] for times in TIMES}

    def ours(times: int) -> float:
        runs[times].append(_drillyard(ground, env, inputs[times]))
        return float(runs[times][-1]["rows_per_s"])

    contenders: dict[str, Callable[[], float]] = {
        "all_outputs": lambda: ours(COMPARED),
        "scores": lambda: float(_drillyard(ground, env, inputs[COMPARED], *_SCORES)["rows_per_s"]),
        "onnxruntime": lambda: _in_process(ground, env, inputs[COMPARED], "sessions"),
        "one_process": lambda: _in_process(ground, env, inputs[COMPARED], "files"),
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number, name in alternating(list(contenders), rounds):
        rates[name].append(contenders[name]())
        say(f"round {number}/{rounds}  {name:12} {rates[name][-1]:10,.0f} rows/s")
    for times in TIMES:
        if times != COMPARED:
            ours(times)
    sizes = [{"times": times, "rows": rows * times, "runs": runs[times]} for times in TIMES]
    return rates, sizes


def _write(folder: Path, rows: int) -> Path:
    """One file of noise, as often as the rows ask for it."""
    folder.mkdir()
    noise = np.random.default_rng(0).standard_normal((FILE_ROWS, len(FEATURES)), dtype=np.float32)
    columns = dict(zip(FEATURES, noise.T, strict=True))
    table = pa.table({"id": np.arange(FILE_ROWS), **columns})
    pq.write_table(table, folder / "00000.parquet", use_dictionary=False)  # noise has none worth keeping
    for number in range(1, rows // FILE_ROWS):
        (folder / f"{number:05}.parquet").write_bytes((folder / "00000.parquet").read_bytes())
    return folder


def _drillyard(ground: Path, env: Mapping[str, str], source: Path, *more: str) -> dict[str, Any]:
    """One run of the command, Ray's start included in its time."""
    with tempfile.TemporaryDirectory(dir=ground) as output:
        words = ["predict", "fraud", "--input", str(source), "--output", output, "--workers", str(THREADS), *more]
        ran = bench_children.run([*_DRILLYARD, *words, "--quiet", "--json", "-"], env)
    found = json.loads(ran.output)
    return {
        "rows": found["rows_scored"],
        "rows_per_s": found["rows_per_s"],
        "scoring_s": found["scoring_s"],
        "elapsed_s": ran.elapsed_s,
        "peak_rss_bytes": ran.peak_rss_bytes,
    }


def _in_process(ground: Path, env: Mapping[str, str], source: Path, what: str) -> float:
    with tempfile.TemporaryDirectory(dir=ground) as output:
        command = [sys.executable, "-m", "pipelines.bench_inprocess", what, str(source), output, str(THREADS)]
        return float(json.loads(bench_children.run(command, env).output)["rows_per_s"])


def _stream(ground: Path, env: Mapping[str, str], store_bytes: int) -> list[dict[str, Any]]:
    """Training from files of the object store's size, and of ten times that."""
    found = []
    for times in STREAMED_TIMES:
        folder, rows = ground / f"shards-{times}", times * store_bytes // _ROW_BYTES
        command = [sys.executable, "-m", "pipelines.bench_stream"]
        bench_children.run([*command, "write", str(folder), str(rows)], env)
        ran = bench_children.run([*command, "train", str(folder), str(store_bytes)], env)
        row = {"times": times, "data_bytes": rows * _ROW_BYTES, "store_bytes": store_bytes}
        row |= json.loads(ran.output.splitlines()[-1])
        found.append(row | {"elapsed_s": ran.elapsed_s, "peak_rss_bytes": ran.peak_rss_bytes})
        say(f"streamed {times}x: {row['rows_per_s']:,.0f} rows/s")
    return found


def ratios(rates: Mapping[str, list[float]]) -> dict[str, dict[str, float | None]]:
    """RATIOS, each taken within rounds."""
    return {name: {**ratio(rates[ours], rates[theirs]), "bar": bar} for name, (ours, theirs, bar) in RATIOS.items()}


def _print(content: Mapping[str, Any], path: Path) -> None:
    for name, values in content["ratios"].items():
        line = f"{name}: {values['median']:.2f} ({values['low']:.2f} to {values['high']:.2f}, n={values['n']})"
        if values["bar"]:
            line += f"  bar {values['bar']} {'holds' if values['median'] >= values['bar'] else 'MISSED'}"
        sys.stdout.write(line + "\n")
    for size in content["sizes"]:
        last = size["runs"][-1]
        line = f"{size['times']}x: {last['rows_per_s']:,.0f} rows/s, {last['peak_rss_bytes'] / 2**20:,.0f} MiB"
        sys.stdout.write(f"{line} at the peak, {last['elapsed_s']:.0f} s\n")
    for row in content["streaming"]:
        store = f"object store {row['store_peak_bytes'] / 2**20:,.0f} MiB, spilled {row['spilled_bytes'] / 2**20:,.0f}"
        line = f"streamed {row['times']}x: {row['rows_per_s']:,.0f} rows/s, {row['peak_rss_bytes'] / 2**20:,.0f} MiB"
        sys.stdout.write(f"{line} at the peak, {store}\n")
    sys.stdout.write(f"{content['elapsed_s'] / 60:.1f} minutes; figures: {path}\n")


if __name__ == "__main__":
    entry.run(main)
