"""Cards and plans to test with."""

from typing import Any

from drillyard.core.contract import DatasetRef, ModelCard, Parity, TensorSpec, Threshold
from drillyard.core.load import Load
from drillyard.core.slo import DrillPlan, DrillResult, Slo, Verdict
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
        min_duration_s=0,
    )


def make_result(plan: DrillPlan, *, verdict: Verdict = Verdict.PASS, **changes: Any) -> DrillResult:
    """A result of 1,000 right answers: p50 5 ms, p99 20 ms."""
    values: dict[str, Any] = {
        "plan": plan,
        "verdict": verdict,
        "reasons": (),
        "offered_rps": 200.0,
        "goodput_rps": 200.0,
        "requests": 1000,
        "errors": 0,
        "error_counts": {},
        "late_sends": 0,
        "p50_ms": 5.0,
        "p90_ms": 10.0,
        "p99_ms": 20.0,
        "p999_ms": 30.0,
        "max_ms": 40.0,
        "started_at": "2026-01-01T00:00:00+00:00",
        "commit": "test",
        "machine": "test",
        "series": {key: [] for key in ("t_s", "sent", "ok", "errors", "p50_ms", "p99_ms")},
        "percentiles": [],
    }
    return DrillResult(**{**values, **changes})
