"""Versions that are wrong on purpose, registered to see what stops them: worse weights, or a damaged file.

Both are copies of a real version. The worse one has an honest card, so it passes every check of files and is found out
by its answers only; the damaged one differs from its card, as a store that lost bits would have it.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from mlflow.tracking import MlflowClient
from onnx import numpy_helper

from drillyard.core.contract import CARD_FILE, CHAMPION, MODEL_FILE, SAMPLES_FILE, ModelCard, ModelRef
from drillyard.core.errors import UsageError
from drillyard.core.settings import Settings
from pipelines import registry, tracking
from pipelines.graph import predictor

How = Literal["weights", "file"]
NOISE = 1.0  # standard deviation added to each weight matrix, as a share of its own
_DAMAGED_BYTES = 64


def spoil(ref: ModelRef, settings: Settings, how: How, seed: int = 0) -> ModelRef:
    """Register a spoilt copy: with worse weights under no alias, with a damaged file as champion.

    Raises UsageError without the embedded registry (only there a stored file can be damaged), ModelNotFound.
    """
    if not settings.tracking_uri.startswith("sqlite:///"):
        raise UsageError("MLFLOW_TRACKING_URI", settings.tracking_uri, "the embedded registry, sqlite:///...")
    client = tracking.connect(settings)
    exact = registry.resolve(client, ref)
    assert exact.version is not None
    with tempfile.TemporaryDirectory() as scratch:
        original = tracking.download_model(exact.name, exact.version, Path(scratch))
        folder = Path(tempfile.mkdtemp(prefix=f"spoilt-{exact.name}-", dir=_made(settings.artifacts)))
        for name in (MODEL_FILE, CARD_FILE, SAMPLES_FILE):
            shutil.copyfile(original / name, folder / name)
    version = int(client.create_model_version(exact.name, source=folder.as_uri()).version)
    client.set_model_version_tag(exact.name, str(version), "recipe", f"spoilt {how} of {exact}")
    if how == "weights":
        _worsen(folder / MODEL_FILE, np.random.default_rng(seed))
        _answer_samples(folder)
    _describe(folder, version, f"spoilt {how} of {exact}")
    if how == "file":
        _damage(folder / MODEL_FILE)
        _crown(client, exact.name, version)
    return ModelRef(name=exact.name, version=version)


def _worsen(path: Path, rng: np.random.Generator) -> None:
    """Noise on every weight matrix and convolution; the graph and all constants stay."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.ndim >= 2 and weights.dtype.kind == "f":
            noise = rng.normal(scale=NOISE * float(weights.std()), size=weights.shape)
            tensor.CopyFrom(numpy_helper.from_array((weights + noise).astype(weights.dtype), tensor.name))
    onnx.save(model, path)


def _answer_samples(folder: Path) -> None:
    """The samples hold the new graph's own answers, as an export of it would have written them."""
    with np.load(folder / SAMPLES_FILE, allow_pickle=False) as archive:
        arrays: dict[str, Any] = {key: archive[key] for key in archive.files}
    inputs = {key.removeprefix("input."): value for key, value in arrays.items() if key.startswith("input.")}
    for name, value in predictor(folder / MODEL_FILE)(inputs).items():
        arrays[f"output.{name}"] = value
    np.savez(folder / SAMPLES_FILE, allow_pickle=False, **arrays)


def _describe(folder: Path, version: int, note: str) -> None:
    card = ModelCard.model_validate_json((folder / CARD_FILE).read_bytes())
    changed = {
        "version": version,
        "recipe": "spoilt",
        "notes": {**card.notes, "spoilt": note},
        "onnx_sha256": hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest(),
        "samples_sha256": hashlib.sha256((folder / SAMPLES_FILE).read_bytes()).hexdigest(),
    }
    (folder / CARD_FILE).write_text(card.model_copy(update=changed).model_dump_json(indent=2) + "\n")


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + _DAMAGED_BYTES] = bytes(byte ^ 0xFF for byte in content[middle : middle + _DAMAGED_BYTES])
    path.write_bytes(content)


def _crown(client: MlflowClient, name: str, version: int) -> None:
    """Past the gate, which would have looked at the file."""
    client.set_registered_model_alias(name, CHAMPION, str(version))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
