"""Budgets and burn-rate alerts against the workbook's figures and a plain recount."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drillyard.core import budget
from drillyard.core.burn import WORKBOOK, BurnRule, Firing, Objective, compressed, firings
from drillyard.core.load import Load
from drillyard.core.slo import DrillPlan, FaultMark, Slo

RPS = 100.0
counts = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=60)  # bad, good a second
exact = settings(derandomize=True, max_examples=60, deadline=None)


def objective(bad: list[int], good: list[int], allowed: float = 0.01) -> Objective:
    return Objective(
        name="availability", allowed=allowed, bad=tuple(bad), total=tuple(b + g for b, g in zip(bad, good, strict=True))
    )


def outage(seconds: int, from_s: int, lasts_s: int, share: float = 1.0, allowed: float = 0.001) -> Objective:
    """RPS requests a second, a share of them bad from `from_s` on for `lasts_s`."""
    bad = [round(RPS * share) if from_s <= t < from_s + lasts_s else 0 for t in range(seconds)]
    return objective(bad, [int(RPS) - b for b in bad], allowed)


def begins(found: tuple[Firing, ...]) -> dict[str, float]:
    return {firing.rule: firing.from_s for firing in found}


@pytest.mark.parametrize(("rule", "after_s"), list(zip(WORKBOOK, (52, 130, 260), strict=True)))
def test_a_whole_outage_is_detected_when_the_workbook_says(rule: BurnRule, after_s: int) -> None:
    """Detection time = (1 - SLO) / error share x long window x factor: 51.84 s, 129.6 s and 259.2 s for 99.9%."""
    assert 0.001 * rule.long_s * rule.factor == pytest.approx(after_s, abs=1)
    (firing,) = firings(outage(400, 50, 350), [rule], RPS)
    assert firing.from_s == 50 + after_s


@pytest.mark.parametrize(
    ("burn", "expected"),
    [(0.9, set()), (2, {"3 d / 6 h"}), (7, {"3 d / 6 h", "6 h / 30 min"}), (20, {rule.name for rule in WORKBOOK})],
)
def test_a_steady_burn_of_three_compressed_days_fires_the_rules_below_it(burn: float, expected: set[str]) -> None:
    """Three minutes stand for three days: 1% allowed, 100 requests a second."""
    bad = [int(burn * (t + 1)) - int(burn * t) for t in range(180)]
    drill = objective(bad, [100 - b for b in bad])
    assert set(begins(firings(drill, compressed(WORKBOOK, budget.COMPRESSION), RPS))) == expected


def test_an_alert_ends_with_its_short_window_and_fires_again() -> None:
    drill = objective([0] * 5 + [50] * 5 + [0] * 20 + [50] * 5, [100] * 35)
    rule = BurnRule(name="r", severity="page", long_s=10, short_s=2, factor=10)
    found = firings(drill, [rule], RPS)
    assert [(firing.from_s, firing.to_s) for firing in found] == [(8, 12), (33, None)]


@given(counts, st.integers(1, 20), st.integers(1, 20), st.floats(0.5, 20))
@exact
def test_firings_are_those_of_a_recount_of_every_window(
    seconds: list[tuple[int, int]], long_s: int, short_s: int, factor: float
) -> None:
    bad, good = ([row[i] for row in seconds] for i in (0, 1))
    rule = BurnRule(name="r", severity="page", long_s=long_s, short_s=short_s, factor=factor)
    found = firings(objective(bad, good), [rule], RPS)

    def burns(end: int, window: int) -> bool:
        rows = [seconds[t] if t >= 0 else (0, RPS) for t in range(end - window, end)]
        return sum(b for b, _ in rows) > factor * 0.01 * sum(b + g for b, g in rows)

    expected = {end for end in range(1, len(bad) + 1) if burns(end, long_s) and burns(end, short_s)}
    firing = {t for f in found for t in range(int(f.from_s), int(len(bad) + 1 if f.to_s is None else f.to_s))}
    assert firing == expected


@given(counts, st.integers(0, 59), st.integers(1, 50))
@exact
def test_more_bad_never_fires_or_spends_less(seconds: list[tuple[int, int]], at: int, more: int) -> None:
    bad, good = ([row[i] for row in seconds] for i in (0, 1))
    worse = [b + (more if t == at % len(bad) else 0) for t, b in enumerate(bad)]
    rules = compressed(WORKBOOK, budget.COMPRESSION)

    def firing_s(of: list[int]) -> set[tuple[str, int]]:
        found = firings(objective(of, good), rules, RPS)
        end = len(of) + 1
        return {(f.rule, t) for f in found for t in range(int(f.from_s), int(end if f.to_s is None else f.to_s))}

    assert firing_s(bad) <= firing_s(worse)
    before, after = (budget.score([objective(of, good)], before_rps=RPS).spent for of in (bad, worse))
    assert before is not None
    assert after is not None
    assert after >= before * (1 - 1e-12)


@given(counts)
@exact
def test_spent_is_bad_over_allowed_and_nothing_bad_is_nothing_spent(seconds: list[tuple[int, int]]) -> None:
    bad, good = ([row[i] for row in seconds] for i in (0, 1))
    (burnt,) = budget.score([objective(bad, good)], before_rps=RPS).objectives
    if sum(bad):
        assert burnt.spent == pytest.approx(sum(bad) / (0.01 * (sum(bad) + sum(good))))
    clean = budget.score([objective([0] * len(good), good)], before_rps=RPS)
    assert (clean.spent, clean.firings) == (0.0, ())


def test_compression_divides_windows_and_keeps_a_second() -> None:
    windows = [(rule.long_s, rule.short_s) for rule in compressed(WORKBOOK, budget.COMPRESSION)]
    assert windows == [(2.5, 1.0), (15.0, 1.25), (180.0, 15.0)]


@pytest.mark.parametrize(("bad", "spent"), [([0, 0], 0.0), ([0, 1], None)])
def test_a_promise_of_no_error_has_no_budget_and_any_error_pages(bad: list[int], spent: float | None) -> None:
    found = budget.score([objective(bad, [100, 100], allowed=0.0)], before_rps=RPS)
    assert found.spent == spent
    assert found.pages == 2 * sum(bad)


def mark(struck_s: float, recovered_s: float | None) -> FaultMark:
    return FaultMark(fault="kill", struck_s=struck_s, ended_s=struck_s, detected_s=None, recovered_s=recovered_s)


def test_a_page_is_held_against_the_faults_that_are_known() -> None:
    drill = outage(60, 20, 5)
    told = budget.score([drill], [mark(19.5, 25.0)], before_rps=RPS)
    assert (told.pages, told.false_pages) == (2, 0)
    (fault,) = told.faults
    assert fault.page_after_s == pytest.approx(1.5)  # the first whole second of it is over at 21 s
    assert fault.ticket_after_s == pytest.approx(1.5)
    assert fault.bad == 500
    blind = budget.score([drill], [mark(40.0, 45.0)], before_rps=RPS)
    assert (blind.pages, blind.false_pages, blind.false_tickets) == (2, 2, 1)
    assert blind.faults[0].page_after_s is None
    assert blind.faults[0].bad == 0
    never_whole = budget.score([drill], [mark(3.0, None)], before_rps=RPS)
    assert never_whole.false_pages == 0


def test_objectives_are_answers_at_all_and_answers_in_time() -> None:
    series = {"ok": [10, 8], "errors": [0, 2], "slow": [1, 0]}
    availability, latency = budget.objectives(
        DrillPlan(model="m", load=Load(rate_rps=1, duration_s=2), slo=Slo(p50_ms=1, p99_ms=2, max_error_rate=0.05)),
        series,
    )
    assert (availability.bad, availability.total, availability.allowed) == ((0, 2), (10, 10), 0.05)
    assert (latency.bad, latency.total, latency.allowed) == ((1, 0), (10, 8), 0.01)


def test_the_worst_share_is_none_when_one_is_beyond_numbers() -> None:
    assert budget.worst([0.5, 2.0]) == 2.0
    assert budget.worst([0.5, None]) is None
    assert math.isclose(budget.spent(3, 0.01, 100) or 0, 3.0)
