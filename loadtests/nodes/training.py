"""Training across the nodes of a test cluster, with the checkpoints on storage that all of them share."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drillyard.core.errors import InvalidMeasurement
from drillyard.core.settings import Settings
from loadtests.nodes.cluster import Cluster, Node

CPUS = 1  # of each node, so that workers are on different ones
WORKERS = 2
_LOOK_S = 0.2


def train(
    cluster: Cluster,
    settings: Settings,
    model: str,
    recipe: str,
    on_epoch: Callable[[int, list[Node]], None] = lambda *_: None,
) -> dict[str, Any]:
    """One `drillyard train` on the head; its result, and the nodes (by number) its workers began on.

    `on_epoch` is called once for each epoch that has ended, with the nodes that have workers. Raises
    InvalidMeasurement.
    """
    out = settings.home / "training.json"
    out.unlink(missing_ok=True)
    before = set(settings.runs.glob("*"))
    arguments = ("train", model, "--recipe", recipe, "--workers", str(WORKERS), "--quiet", "--json", str(out))
    log = settings.home / "training.log"
    where = {"DRILLYARD_HOME": str(settings.home), "MLFLOW_TRACKING_URI": settings.tracking_uri}
    child = cluster.drillyard(log, *arguments, **where)
    began_on: list[Node] = []
    told = 0
    while child.poll() is None:
        time.sleep(_LOOK_S)
        epochs = _epochs_done(set(settings.runs.glob("*")) - before)
        while told < epochs:
            told += 1
            nodes = with_workers(cluster)
            began_on = began_on or nodes
            on_epoch(told, nodes)
    if not out.exists() or not out.stat().st_size:
        said = log.read_text(errors="replace").strip()
        raise InvalidMeasurement(f"training on the cluster ended with code {child.returncode}: {said[-1000:]}")
    result: dict[str, Any] = json.loads(out.read_text())
    return {**result, "began_on": [cluster.nodes.index(node) for node in began_on]}


def with_workers(cluster: Cluster) -> list[Node]:
    """The nodes that run a training worker now."""
    return [node for node in cluster.nodes if node.host.processes("TrainWorker")]


def _epochs_done(folders: set[Path]) -> int:
    """Of the run in the one folder that is new, if there is one already."""
    done = 0
    for folder in folders:
        lines = (folder / "records.jsonl").read_text().splitlines() if (folder / "records.jsonl").exists() else []
        done = max([done, *(_epoch(line) for line in lines)])
    return done


def _epoch(line: str) -> int:
    """The epoch that this record ends; 0 for one in the middle, or a line that is not yet whole."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return 0
    return int(record["epoch"]) if record["validation_loss"] is not None else 0
