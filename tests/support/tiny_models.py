"""Tiny ONNX models with the two systems' real signatures, their cards and samples, and their registration in MLflow.

They learn nothing: vision's class is the picture's mean brightness, fraud's score is a squashed sum of magnitudes. Both
can be predicted with numpy (`expected_vision`, `expected_fraud`), so a test knows the right answer.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from drillyard.core.contract import (
    CARD_FILE,
    CHAMPION,
    MODEL_FILE,
    SAMPLES_FILE,
    Bins,
    DatasetRef,
    ModelCard,
    Parity,
    Summary,
    TensorSpec,
    Threshold,
)

Array = npt.NDArray[Any]
OPSET = 20
CLASSES = tuple(f"class-{i}" for i in range(10))
FEATURES = (*(f"V{i}" for i in range(1, 29)), "Amount")
FRAUD_THRESHOLD = 0.5


def vision_graph() -> onnx.ModelProto:
    """image UINT8 (batch, height, width, 3) -> scores FP32 (batch, 10), label INT64 (batch)."""
    consts = {
        "centres": np.linspace(0.05, 0.95, 10, dtype=np.float32),
        "axes": np.array([1, 2, 3], dtype=np.int64),
        "last": np.array([1], dtype=np.int64),
        "full": np.array(255.0, dtype=np.float32),
        "sharpness": np.array(-40.0, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "full"], ["brightness"]),
        helper.make_node("Unsqueeze", ["brightness", "last"], ["column"]),
        helper.make_node("Sub", ["column", "centres"], ["difference"]),
        helper.make_node("Mul", ["difference", "difference"], ["square"]),
        helper.make_node("Mul", ["square", "sharpness"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", "height", "width", 3])]
    outputs = [
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10]),
        helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]),
    ]
    return _model(nodes, "vision", inputs, outputs, consts)


def fraud_graph(threshold: float = FRAUD_THRESHOLD, nan_above: float = float("inf")) -> onnx.ModelProto:
    """features FP32 (batch, 29) -> score FP32 (batch), is_fraud BOOL (batch), reasons FP32 (batch, 29).

    The score is not a number where the sum of magnitudes is above `nan_above`.
    """
    consts = {
        "axis": np.array([1], dtype=np.int64),
        "scale": np.array(0.01, dtype=np.float32),
        "threshold": np.array(threshold, dtype=np.float32),
        "nan_above": np.array(nan_above, dtype=np.float32),
        "nan": np.array(np.nan, dtype=np.float32),
        "tiny": np.array(1e-9, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Abs", ["features"], ["magnitude"]),
        helper.make_node("ReduceSum", ["magnitude", "axis"], ["total"], keepdims=1),
        helper.make_node("Add", ["total", "tiny"], ["total_safe"]),
        helper.make_node("Div", ["magnitude", "total_safe"], ["reasons"]),
        helper.make_node("Squeeze", ["total", "axis"], ["sum"]),
        helper.make_node("Mul", ["sum", "scale"], ["scaled"]),
        helper.make_node("Tanh", ["scaled"], ["squashed"]),
        helper.make_node("Greater", ["sum", "nan_above"], ["broken"]),
        helper.make_node("Where", ["broken", "nan", "squashed"], ["score"]),
        helper.make_node("GreaterOrEqual", ["score", "threshold"], ["is_fraud"]),
    ]
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 29])]
    outputs = [
        helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"]),
        helper.make_tensor_value_info("is_fraud", TensorProto.BOOL, ["batch"]),
        helper.make_tensor_value_info("reasons", TensorProto.FLOAT, ["batch", 29]),
    ]
    return _model(nodes, "fraud", inputs, outputs, consts)


def expected_vision(image: Array) -> tuple[Array, Array]:
    """scores and label for uint8 (batch, height, width, 3)."""
    brightness = image.astype(np.float32).mean(axis=(1, 2, 3)) / 255.0
    logits = -40.0 * (brightness[:, None] - np.linspace(0.05, 0.95, 10, dtype=np.float32)) ** 2
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores = powers / powers.sum(axis=1, keepdims=True)
    return scores, scores.argmax(axis=1)


def expected_fraud(features: Array, threshold: float = FRAUD_THRESHOLD) -> tuple[Array, Array, Array]:
    """score, is_fraud and reasons for float32 (batch, 29)."""
    magnitude = np.abs(features)
    total = magnitude.sum(axis=1)
    score = np.tanh(total * 0.01)
    return score, score >= threshold, magnitude / (total[:, None] + 1e-9)


def deciles(feature: str, values: Array) -> Bins:
    """Ten bins of about equal shares."""
    edges = np.quantile(values.astype(np.float64), np.linspace(0.1, 0.9, 9))
    counts = np.bincount(np.searchsorted(edges, values), minlength=10)
    return Bins(feature=feature, edges=tuple(edges.tolist()), shares=tuple((counts / len(values)).tolist()))


def write_vision(folder: Path, version: int = 1, **changes: Any) -> ModelCard:
    """model.onnx, card.json and samples.npz of the tiny vision model; `changes` replace fields of the card."""
    images = np.random.default_rng(version).integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)
    scores, label = expected_vision(images)
    samples = {"input.image": images, "output.scores": scores, "output.label": label, "truth": label}
    tensors = {
        "inputs": (TensorSpec(name="image", dtype="UINT8", shape=(-1, -1, -1, 3)),),
        "outputs": (
            TensorSpec(name="scores", dtype="FP32", shape=(-1, 10)),
            TensorSpec(name="label", dtype="INT64", shape=(-1,)),
        ),
    }
    pixels = images.reshape(32, -1)
    summary = Summary(
        inputs=(
            deciles("image.brightness", pixels.mean(axis=1)),
            deciles("image.contrast", pixels.std(axis=1)),
        ),
        score=deciles("scores", scores.max(axis=1)),
    )
    own = {
        "summary": summary,
        "name": "vision",
        "task": "classification",
        "labels": CLASSES,
        "primary_metric": "accuracy",
    }
    return _write(folder, vision_graph(), samples, version, own | tensors | {"threshold": None} | changes)


def write_fraud(
    folder: Path,
    version: int = 1,
    *,
    threshold: float = FRAUD_THRESHOLD,
    nan_above: float = float("inf"),
    **changes: Any,
) -> ModelCard:
    """model.onnx, card.json and samples.npz of the tiny fraud model; `changes` replace fields of the card.

    `threshold` and `nan_above` make it decide otherwise, or fail on large numbers; its samples hold its own answers.
    """
    features = np.random.default_rng(version).normal(size=(64, 29)).astype(np.float32)
    features[::2] *= 10  # half of them are fraud
    score, is_fraud, reasons = expected_fraud(features, threshold)
    samples = {
        "input.features": features,
        "output.score": score,
        "output.is_fraud": is_fraud,
        "output.reasons": reasons,
        "truth": is_fraud,
    }
    tensors = {
        "inputs": (TensorSpec(name="features", dtype="FP32", shape=(-1, 29)),),
        "outputs": (
            TensorSpec(name="score", dtype="FP32", shape=(-1,)),
            TensorSpec(name="is_fraud", dtype="BOOL", shape=(-1,)),
            TensorSpec(name="reasons", dtype="FP32", shape=(-1, 29)),
        ),
    }
    inputs = tuple(deciles(name, column) for name, column in zip(FEATURES, features.T, strict=True))
    summary = Summary(inputs=inputs, score=deciles("score", score))
    own = {
        "summary": summary,
        "name": "fraud",
        "task": "anomaly-detection",
        "labels": FEATURES,
        "primary_metric": "average_precision",
    }
    chosen = {"threshold": Threshold(value=threshold, chosen_by="fixed for tests")}
    graph = fraud_graph(threshold, nan_above)
    return _write(folder, graph, samples, version, own | tensors | chosen | changes)


def register(tracking_uri: str, name: str, folder: Path, *, alias: str | None = CHAMPION) -> int:
    """Register the folder as the next version of `name`, as the real registry code does; returns the version."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = int(client.create_model_version(name, source=folder.resolve().as_uri()).version)
    if alias is not None:
        client.set_registered_model_alias(name, alias, str(version))
    return version


def register_both(tracking_uri: str, folder: Path) -> dict[str, ModelCard]:
    """Both tiny models, version 1, champions, in a fresh store; the cards by name."""
    cards = {}
    for name, write in (("vision", write_vision), ("fraud", write_fraud)):
        cards[name] = write(folder / name / "1")
        version = register(tracking_uri, name, folder / name / "1")
        assert version == 1, "the store was expected to be fresh"
    return cards


def _model(
    nodes: list[Any], name: str, inputs: list[Any], outputs: list[Any], consts: dict[str, Array]
) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(value, key) for key, value in consts.items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def _write(
    folder: Path, model: onnx.ModelProto, samples: dict[str, Array], version: int, own: dict[str, Any]
) -> ModelCard:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(model.SerializeToString())
    np.savez(folder / SAMPLES_FILE, allow_pickle=False, **samples)  # type: ignore[arg-type]
    common: dict[str, Any] = {
        "version": version,
        "recipe": "tiny",
        "metrics": {own["primary_metric"]: (1.0, 1.0, 1.0)},
        "baselines": {"chance": {own["primary_metric"]: (0.5, 0.4, 0.6)}},
        "dataset": DatasetRef(name="generated", sha256="0" * 64),
        "parity": Parity(samples=32, max_abs_difference=0.0, tolerance=1e-5, reason="made by hand"),
        "commit": "0000000",
        "run_id": "none",
        "opset": OPSET,
        "onnx_sha256": hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest(),
        "samples_sha256": hashlib.sha256((folder / SAMPLES_FILE).read_bytes()).hexdigest(),
    }
    card = ModelCard(**(common | own))
    (folder / CARD_FILE).write_text(card.model_dump_json(indent=2))
    return card
