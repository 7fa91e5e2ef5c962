"""A model that everybody can compute, as a sample folder: 29 features -> score, decision and reasons."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drillyard.core.contract import CARD_FILE, SAMPLES_FILE, DatasetRef, ModelCard, Parity, TensorSpec, Threshold

FEATURES, THRESHOLD, SAMPLES = 29, 14.5, 64


def answer(features: list[float]) -> dict[str, list[float | bool]]:
    """What the model says of one row."""
    score = sum(features)
    return {
        "score": [score],
        "is_fraud": [score > THRESHOLD],
        "reasons": [value / (score or 1.0) for value in features],
    }


def answers(features: list[float], rows: int) -> dict[str, list[float | bool]]:
    """What the model says of several rows, one after the other, as its flattened tensors."""
    each = [answer(features[row * FEATURES : (row + 1) * FEATURES]) for row in range(rows)]
    return {name: [value for one in each for value in one[name]] for name in answer([0.0] * FEATURES)}


def arrays(samples: int = SAMPLES) -> dict[str, NDArray[Any]]:
    """Sample rows and their answers, as in samples.npz."""
    features = np.random.default_rng(0).random((samples, FEATURES), dtype=np.float32)  # (samples, features)
    answers = [answer(row.tolist()) for row in features]
    return {
        "input.features": features,
        "output.score": np.array([a["score"][0] for a in answers], dtype=np.float32),
        "output.is_fraud": np.array([a["is_fraud"][0] for a in answers]),
        "output.reasons": np.array([a["reasons"] for a in answers], dtype=np.float32),
        "truth": np.zeros(samples, dtype=bool),
    }


def card(samples_sha256: str = "0" * 64) -> ModelCard:
    """Its card, as the fraud contract has it."""
    return ModelCard(
        name="fraud",
        version=1,
        task="anomaly-detection",
        recipe="test",
        inputs=(TensorSpec(name="features", dtype="FP32", shape=(-1, FEATURES)),),
        outputs=(
            TensorSpec(name="score", dtype="FP32", shape=(-1,)),
            TensorSpec(name="is_fraud", dtype="BOOL", shape=(-1,)),
            TensorSpec(name="reasons", dtype="FP32", shape=(-1, FEATURES)),
        ),
        labels=tuple(f"V{i}" for i in range(FEATURES)),
        threshold=Threshold(value=THRESHOLD, chosen_by="test"),
        primary_metric="average_precision",
        metrics={"average_precision": (0.7, 0.6, 0.8)},
        dataset=DatasetRef(name="generated", sha256="0" * 64),
        parity=Parity(samples=1, max_abs_difference=0.0, tolerance=1e-5, reason="test"),
        commit="test",
        run_id="test",
        opset=20,
        onnx_sha256="0" * 64,
        samples_sha256=samples_sha256,
    )


def write(folder: Path, samples: int = SAMPLES) -> Path:
    """The sample folder that drills take their requests from."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / SAMPLES_FILE, **arrays(samples))  # type: ignore[arg-type]
    digest = hashlib.sha256((folder / SAMPLES_FILE).read_bytes()).hexdigest()
    (folder / CARD_FILE).write_text(card(digest).model_dump_json())
    return folder
