"""Cards and plans to test with."""

from typing import Any

from drillyard.core.contract import ModelCard
from drillyard.core.load import Load
from drillyard.core.slo import DrillPlan, DrillResult, Slo, Verdict
from loadtests.selftest import model


def make_card(**changes: Any) -> ModelCard:
    return model.card().model_copy(update=changes)


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
