"""Cards and plans to test with."""

from typing import Any

from drillyard.core.contract import DatasetRef, ModelCard, Parity, TensorSpec, Threshold
from drillyard.core.load import Load
from drillyard.core.slo import DrillPlan, Slo
from tests.loadtests.support.model import FEATURES, THRESHOLD


def make_card(**changes: Any) -> ModelCard:
    card = ModelCard(
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
        samples_sha256="0" * 64,
    )
    return card.model_copy(update=changes)


def make_plan(*, rate_rps: float = 200, duration_s: float = 3, p99_ms: float = 250, errors: float = 0.01) -> DrillPlan:
    return DrillPlan(
        model="fraud",
        load=Load(rate_rps=rate_rps, duration_s=duration_s, seed=7),
        slo=Slo(p50_ms=p99_ms, p99_ms=p99_ms, max_error_rate=errors),
    )
