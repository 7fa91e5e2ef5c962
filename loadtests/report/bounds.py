"""Each promise beside its measured figure: what the scorecard and the report show alike."""

from dataclasses import dataclass

from drillyard.core.slo import DrillResult


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One row: what was promised, what was measured, whether it held."""

    name: str
    promised: str
    measured: str
    held: bool


def bounds(result: DrillResult) -> tuple[Bound, ...]:
    slo, percentile = result.plan.slo, result.plan.percentile
    error_rate = result.errors / result.requests if result.requests else 0.0
    return (
        _latency("p50 latency", slo.p50_ms, result.p50_ms),
        _latency(f"p{percentile} latency", slo.p99_ms, {90: result.p90_ms, 99: result.p99_ms}[percentile]),
        Bound(
            name="error rate",
            promised=f"≤ {slo.max_error_rate:.2%}",
            measured=f"{error_rate:.2%} ({result.errors:,})",
            held=error_rate <= slo.max_error_rate,
        ),
    )


def _latency(name: str, bound_ms: float, value_ms: float) -> Bound:
    return Bound(name=name, promised=f"≤ {bound_ms:g} ms", measured=f"{value_ms:.2f} ms", held=value_ms <= bound_ms)
