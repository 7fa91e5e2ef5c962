"""What a recorder counted -> the judged result of a drill."""

from typing import Any

from drillyard.core import provenance
from drillyard.core.load import ClosedLoad
from drillyard.core.slo import DrillPlan, DrillResult
from loadtests.generator.recorder import WRONG, Measured, Recorder
from loadtests.judge import batches
from loadtests.judge.phases import drift, kept_factor, phases
from loadtests.judge.verdict import allowed_over, judge


def result(plan: DrillPlan, recorder: Recorder, scheduled: int, started_at: str, extra: dict[str, Any]) -> DrillResult:
    """Judge the counts; `extra` says how the generator did. launch.py adds what needs faults and server."""
    measured = recorder.measured(scheduled)
    verdict, reasons = judge(plan, measured)
    percentiles, duration_s = measured.percentiles_ms, plan.load.duration_s
    return DrillResult(
        plan=plan,
        verdict=verdict,
        reasons=reasons,
        offered_rps=scheduled / duration_s,
        goodput_rps=measured.good / duration_s,
        requests=measured.requests,
        errors=measured.errors,
        error_counts=measured.error_counts,
        late_sends=measured.late_sends,
        p50_ms=percentiles[50.0],
        p90_ms=percentiles[90.0],
        p99_ms=percentiles[99.0],
        p999_ms=percentiles[99.9],
        max_ms=percentiles[100.0],
        started_at=started_at,
        commit=provenance.commit(),
        machine=provenance.machine(),
        series=recorder.series(),
        percentiles=recorder.curve(),
        extra={**extra, **_figures(plan, recorder, measured)},
    )


def _figures(plan: DrillPlan, recorder: Recorder, measured: Measured) -> dict[str, Any]:
    parts = phases(plan, recorder)
    rows = plan.load.rows if isinstance(plan.load, ClosedLoad) else 1
    return {
        "timed_requests": measured.timed,
        "over_p99_bound": measured.over_bound,
        "checked_answers": measured.ok + measured.error_counts.get(WRONG, 0),
        "rejected": measured.rejected,
        "error_rate": measured.error_rate,
        "good_share": measured.good / measured.requests if measured.requests else 0.0,
        "rows_per_s": measured.ok * rows / plan.load.duration_s,
        "proven_ms": _proven_ms(plan, recorder, measured.timed),
        "send_lag_ms": recorder.send_lag_ms(),
        "refusal_ms": recorder.refusal_ms(),
        "phases": parts,
        "latency_batches": batches.pack(recorder.latencies_us(), plan.load.duration_s),
        "kept_factor": kept_factor(plan, parts),
        "drift": drift(parts),
    }


def _proven_ms(plan: DrillPlan, recorder: Recorder, timed: int) -> float | None:
    """The latency below which the plan's percentile lies at 99% confidence: LoadGen's early-stopping estimate."""
    over = allowed_over(timed, plan.percentile)
    return None if over is None else recorder.percentile_ms(100 * (timed - over) / timed)
