"""Versions that a fault needs in the registry: made before the load, as MLflow takes seconds of a core."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from drillyard.core.errors import InvalidMeasurement, UsageError
from loadtests.chaos.injections import Inject, must, refused_sync, sync
from loadtests.chaos.target import Target


@contextmanager
def newer(target: Target) -> Iterator[Inject]:
    """The run of the served version as one more version and champion: the same graph, so its right answers are known.

    Raises UsageError when this home has no such run, InvalidMeasurement when it cannot be registered.
    """
    version = target.models[target.model]
    served = _graph(target.settings.models / target.model / str(version) / "card.json")
    runs = [card for card in target.settings.runs.glob(f"{target.model}-*/model/card.json") if _graph(card) == served]
    if not runs:
        valid = f"a home with the run that {target.model}/{version} is of: drillyard train {target.model}"
        raise UsageError("DRILLYARD_HOME", str(target.settings.home), valid)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(shutil.copytree(runs[0].parents[1], Path(scratch) / "run"))
        card = copy / "model" / "card.json"
        card.write_text(json.dumps(json.loads(card.read_text()) | {"version": 0}))
        must("models", "relog", str(copy))
    yield sync


def _graph(card: Path) -> str:
    return str(json.loads(card.read_text())["onnx_sha256"])


@contextmanager
def damaged(target: Target) -> Iterator[Inject]:
    """A champion whose stored file is not what its card says; the alias goes back afterwards."""
    must("models", "spoil", target.model, "--how", "file")
    try:
        yield refused_sync
    finally:
        must("models", "rollback", target.model)


@contextmanager
def worse(target: Target) -> Iterator[Inject]:
    """A version with worse weights, which answers its own samples as its card says; it answers a fifth in a canary."""
    said = must("models", "spoil", target.model, "--how", "weights", "--json", "-")
    version = str(json.loads(said)["version"])

    @contextmanager
    def canary(target: Target, _: Event) -> Iterator[None]:
        must("serve", "canary", target.model, "--percent", "20", "--version", version)
        try:
            yield
        finally:
            withdraw(target)

    yield canary


def withdraw(target: Target) -> None:
    """End the canary, unless the server has rolled it back by itself, as it should. Raises InvalidMeasurement."""
    try:
        must("serve", "rollback", target.model)
    except InvalidMeasurement:
        if target.challenger() is not None:
            raise
