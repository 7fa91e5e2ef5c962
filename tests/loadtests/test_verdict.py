from typing import Any

import pytest
from scipy.stats import binom

from drillyard.core.slo import Verdict
from loadtests.generator.recorder import Measured
from loadtests.judge.verdict import allowed_over, binomial_cdf, judge, queries_needed


def measured(requests: int = 10_000, over: int = 0, p99_ms: float = 20, p50_ms: float = 5, **changes: Any) -> Measured:
    values: dict[str, Any] = {
        "scheduled": requests,
        "requests": requests,
        "ok": requests - sum(changes.get("error_counts", {}).values()),
        "good": requests - over,
        "error_counts": {},
        "late_sends": 0,
        "timed": requests,
        "over_bound": over,
        "percentiles_ms": {50.0: p50_ms, 90.0: p99_ms, 99.0: p99_ms, 99.9: p99_ms, 100.0: p99_ms},
    }
    return Measured(**{**values, **changes})


@pytest.mark.parametrize(
    ("percentile", "over", "needed"), [(99, 0, 459), (99, 1, 662), (99, 2, 838), (90, 0, 44), (90, 1, 64), (90, 2, 81)]
)
def test_queries_needed_are_mlperfs(percentile, over, needed):
    assert queries_needed(over, percentile) == needed


def test_a_soak_of_hours_is_judged_in_a_moment():
    over = allowed_over(3_600_000, 99)
    assert over is not None
    assert queries_needed(over, 99) <= 3_600_000 < queries_needed(over + 1, 99)


@pytest.mark.parametrize(
    ("timed", "percentile", "over"), [(458, 99, None), (459, 99, 0), (837, 99, 1), (838, 99, 2), (81, 90, 2)]
)
def test_what_may_lie_over_the_bound_is_the_same_rule_turned_round(timed, percentile, over):
    assert allowed_over(timed, percentile) == over


@pytest.mark.parametrize(("k", "n", "p"), [(0, 459, 0.01), (7, 1_500, 0.01), (90, 10_000, 0.01), (5, 5, 0.5)])
def test_binomial_cdf_is_scipys(k, n, p):
    assert binomial_cdf(k, n, p) == pytest.approx(binom.cdf(k, n, p), rel=1e-8)


@pytest.mark.parametrize(
    ("requests", "over", "verdict"),
    [
        (458, 0, Verdict.INVALID),
        (459, 0, Verdict.PASS),
        (661, 1, Verdict.INVALID),
        (662, 1, Verdict.PASS),
        (837, 2, Verdict.INVALID),
        (838, 2, Verdict.PASS),
    ],
)
def test_a_p99_is_claimed_only_from_the_exact_count_on(plan, requests, over, verdict):
    got, reasons = judge(plan, measured(requests, over))
    assert got is verdict
    assert bool(reasons) == (verdict is not Verdict.PASS)


def test_each_broken_bound_is_named_with_figure_and_bound(plan):
    verdict, reasons = judge(plan, measured(over=300, p99_ms=41.2, p50_ms=11, error_counts={"503": 150, "timeout": 50}))
    assert verdict is Verdict.FAIL
    assert reasons == (
        "p50 11.0 ms > 10 ms",
        "p99 41.2 ms > 25 ms",
        "error rate 2.00% > 1.00% (150 503, 50 timeout)",
    )


def test_a_generator_that_fell_behind_is_invalid_whatever_the_figures(plan):
    assert judge(plan, measured(late_sends=100))[0] is Verdict.PASS
    verdict, reasons = judge(plan, measured(late_sends=101, over=5_000, p99_ms=900))
    assert verdict is Verdict.INVALID
    assert reasons == ("generator fell behind: 101 of 10000 sends more than 5 ms late > 1%",)


def test_a_cut_drill_is_invalid(plan):
    verdict, reasons = judge(plan, measured(scheduled=20_000))
    assert verdict is Verdict.INVALID
    assert reasons == ("drill was cut: 10000 of 20000 scheduled requests ended",)


def test_a_dead_system_fails_even_with_few_requests(plan):
    dead = measured(100, error_counts={"refused": 100}, timed=0, percentiles_ms=dict.fromkeys((50.0, 99.0), 0.0))
    assert judge(plan, dead)[0] is Verdict.FAIL
    assert judge(plan, measured(100, over=2, p99_ms=30))[0] is Verdict.INVALID  # chance may have done that


def test_drops_are_the_systems_fault(plan):
    verdict, reasons = judge(plan, measured(error_counts={"dropped": 3_000}, timed=7_000))
    assert verdict is Verdict.FAIL
    assert "3000 dropped" in reasons[0]


@pytest.mark.parametrize(
    ("requests", "over", "verdict"),
    [
        (43, 0, Verdict.INVALID),
        (44, 0, Verdict.PASS),
        (63, 1, Verdict.INVALID),
        (64, 1, Verdict.PASS),
        (80, 2, Verdict.INVALID),
        (81, 2, Verdict.PASS),
    ],
)
def test_a_p90_is_claimed_only_from_the_exact_count_on(plan, requests, over, verdict):
    assert judge(plan.model_copy(update={"percentile": 90}), measured(requests, over))[0] is verdict


def test_a_short_drill_is_invalid_but_a_dead_system_fails_in_it_too(plan):
    plan = plan.model_copy(update={"min_duration_s": plan.load.duration_s + 1})
    verdict, reasons = judge(plan, measured())
    assert verdict is Verdict.INVALID
    assert reasons == ("3 s < 4 s, the shortest drill that is trusted",)
    assert judge(plan, measured(over=5_000, p99_ms=900))[0] is Verdict.FAIL
