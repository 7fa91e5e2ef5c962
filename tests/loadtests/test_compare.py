"""Comparing drills: like with like is rarely called different, and what differs is found."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm, t
from typer.testing import CliRunner

from drillyard.cli.app import app
from drillyard.core.errors import InvalidMeasurement, UsageError
from drillyard.core.slo import DrillResult, Strike, Verdict
from loadtests.generator.recorder import Recorder
from loadtests.judge import batches
from loadtests.judge.compare import compare
from loadtests.judge.differences import Figure, Share, T, design_effect, difference, ratio
from tests.loadtests.support.builders import make_plan, make_result

RPS, SECONDS = 50, 30
PLAN = make_plan(rate_rps=RPS, duration_s=SECONDS, p99_ms=40)
exact = settings(derandomize=True, max_examples=30, deadline=None)


def drilled(seed: int, *, slower: float = 1.0, error_share: float = 0.0, **changes: Any) -> DrillResult:
    """A drill whose latencies wander from second to second, as a queue's do."""
    rng = np.random.default_rng(seed)
    recorder = Recorder(PLAN.slo.p99_ms)
    level = 0.0
    for second in range(SECONDS):
        level = 0.5 * level + rng.normal(scale=0.1)
        for at, latency_ms in zip(
            np.sort(rng.random(RPS)), 5 * slower * np.exp(level + 0.4 * rng.normal(size=RPS)), strict=True
        ):
            intended_s = second + float(at)
            recorder.sent(intended_s, intended_s)
            error = "503" if rng.random() < error_share else None
            recorder.outcome(intended_s, intended_s + float(latency_ms) / 1000, error)
    measured = recorder.measured(RPS * SECONDS)
    values = {
        "plan": PLAN,
        "p50_ms": measured.percentiles_ms[50.0],
        "p99_ms": measured.percentiles_ms[99.0],
        "requests": measured.requests,
        "errors": measured.errors,
        "series": recorder.series(),
        "extra": {"latency_batches": batches.pack(recorder.latencies_us(), SECONDS)},
    }
    plan = changes.pop("plan", PLAN)
    return make_result(plan).model_copy(update={**values, "plan": plan, **changes})


@pytest.fixture(scope="module")
def drill() -> DrillResult:
    return drilled(0, error_share=0.01)


def judgements(before: DrillResult, after: DrillResult, *across: str) -> dict[str, str]:
    return {each.figure: each.judgement for each in compare(before, after, across).figures}


def test_a_drill_is_not_different_from_itself(drill: DrillResult) -> None:
    assert set(judgements(drill, drill).values()) == {"no difference shown"}
    assert [each.change for each in compare(drill, drill).figures] == pytest.approx([1.0, 1.0, 0.0, 0.0])


def test_a_slower_drill_with_errors_is_worse_and_the_other_way_round_better(drill: DrillResult) -> None:
    other = drilled(1, slower=2.0, error_share=0.06)
    assert set(judgements(drill, other).values()) == {"worse"}
    assert set(judgements(other, drill).values()) == {"better"}
    p50 = compare(drill, other).figures[0]
    assert p50.low is not None
    assert p50.high is not None
    assert p50.low < 2.0 < p50.high


def wandering(rng: np.random.Generator, seconds: int = 30, alike: float = 0.6) -> list[np.ndarray]:
    level, parts = float(rng.normal()), []
    for _ in range(seconds):
        level = alike * level + np.sqrt(1 - alike**2) * rng.normal()
        parts.append(np.exp(0.15 * level + 0.4 * rng.normal(size=100)))
    return parts


def figure(parts: list[np.ndarray], percent: float) -> Figure:
    size = len(parts) // batches.BATCHES
    groups = [np.concatenate(parts[i : i + size]) for i in range(0, len(parts), size)]
    values = [float(np.percentile(group, percent)) for group in groups]
    return Figure(whole=float(np.percentile(np.concatenate(parts), percent)), batches=values)


@pytest.mark.parametrize("percent", [50, 99])
def test_like_and_like_are_called_different_no_more_often_than_claimed(percent: float) -> None:
    """Each figure may be wrong in 1.25% of the comparisons; more than 2.5% would be beyond chance of 1 in 1,000."""
    pairs = 300
    wrong = 0
    for seed in range(pairs):
        rng = np.random.default_rng(seed)
        _, low, high = ratio(figure(wandering(rng), percent), figure(wandering(rng), percent))
        wrong += not low <= 1 <= high
    assert wrong <= binom.ppf(0.999, pairs, 0.025)


def test_shares_of_like_and_like_in_bursts_too() -> None:
    pairs, wrong, naive = 300, 0, 0
    for seed in range(pairs):
        rng = np.random.default_rng(seed)
        shares = [
            Share(hits=[float(rng.binomial(20, 0.05) * 20) for _ in range(6)], requests=[1500.0] * 6) for _ in range(2)
        ]
        _, low, high = difference(*shares)
        wrong += not low <= 0 <= high
        p1, p2 = (share.value for share in shares)
        naive += abs(p1 - p2) > norm.ppf(1 - 0.0125 / 2) * np.sqrt((p1 * (1 - p1) + p2 * (1 - p2)) / 9000)
    assert wrong <= binom.ppf(0.999, pairs, 0.025)
    assert naive > pairs / 4  # what taking each request for independent would have claimed


def test_one_burst_of_errors_is_one_event_and_not_a_hundred() -> None:
    clean = Share(hits=[0.0] * 6, requests=[1500.0] * 6)
    burst = Share(hits=[0.0, 0.0, 100.0, 0.0, 0.0, 0.0], requests=[1500.0] * 6)
    spread = Share(hits=[17.0, 16.0, 17.0, 16.0, 17.0, 17.0], requests=[1500.0] * 6)
    _, low, _ = difference(clean, burst)
    assert low <= 0
    _, low, _ = difference(clean, spread)
    assert low > 0
    assert design_effect(burst) > 50
    assert design_effect(spread) == 1.0


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 500)), min_size=6, max_size=6))
@exact
def test_no_share_differs_from_itself_and_order_only_turns_the_sign(rows: list[tuple[int, int]]) -> None:
    share = Share(hits=[min(h, n) for h, n in rows], requests=[n for _, n in rows])
    other = Share(hits=[0.0] * 6, requests=[100.0] * 6)
    value, low, high = difference(share, share)
    assert value == 0
    assert low <= 0 <= high
    forth, back = difference(share, other), difference(other, share)
    assert forth == pytest.approx((-back[0], -back[2], -back[1]))


@given(st.lists(st.floats(0.1, 1000), min_size=6, max_size=6), st.floats(0.1, 1000))
@exact
def test_no_latency_differs_from_itself(values: list[float], whole: float) -> None:
    value, low, high = ratio(Figure(whole=whole, batches=values), Figure(whole=whole, batches=values))
    assert low <= value == 1.0 <= high


def test_the_quantile_is_students() -> None:
    assert pytest.approx(t.ppf(1 - 0.05 / 4 / 2, batches.BATCHES - 1), abs=1e-4) == T


def test_batches_hold_every_latency_and_survive_a_file() -> None:
    seconds = {0: [1_000, 2_000], 5: [3_000], 11: [4_000], 14: [90_000]}  # the last came after the end
    packed = json.loads(json.dumps(batches.pack(seconds, 12.0)))
    found = batches.unpack(packed)
    assert [batch.total_count for batch in found] == [2, 0, 1, 0, 0, 2]
    assert found[5].get_max_value() == pytest.approx(90_000, rel=1e-3)
    assert batches.split([1, 1] * 6 + [5], 12.0) == [2, 2, 2, 2, 2, 7]
    with pytest.raises(UsageError, match="latency_batches"):
        batches.unpack(["nothing of the kind"])


@pytest.mark.parametrize(
    ("aspect", "changes"),
    [
        ("model", {"plan": PLAN.model_copy(update={"model": "fraud/2"})}),
        ("load", {"plan": PLAN.model_copy(update={"load": PLAN.load.model_copy(update={"seed": 8})})}),
        ("promise", {"plan": PLAN.model_copy(update={"percentile": 90})}),
        ("faults", {"plan": PLAN.model_copy(update={"strikes": (Strike(fault="kill-replica", at_s=5),)})}),
        ("machine", {"machine": "another"}),
    ],
)
def test_what_differs_besides_is_refused_unless_told(drill: DrillResult, aspect: str, changes: dict[str, Any]) -> None:
    other = drill.model_copy(update=changes)
    with pytest.raises(UsageError, match=f"--across {aspect}"):
        compare(drill, other)
    assert compare(drill, other, (aspect,)).across == (aspect,)


def test_an_invalid_drill_and_one_without_batches_are_refused(drill: DrillResult) -> None:
    with pytest.raises(InvalidMeasurement, match="is INVALID"):
        compare(drill, drill.model_copy(update={"verdict": Verdict.INVALID}))
    with pytest.raises(UsageError, match="drill again"):
        compare(drill, drill.model_copy(update={"extra": {}}))
    with pytest.raises(UsageError, match="any of model"):
        compare(drill, drill, ("weather",))


def test_a_drill_that_stood_still_for_a_batch_cannot_be_compared(drill: DrillResult) -> None:
    latencies = {0: [5_000] * 100, 29: [5_000] * 100}
    still = drill.model_copy(update={"extra": {"latency_batches": batches.pack(latencies, SECONDS)}})
    assert judgements(drill, still)["p99 latency"] == "cannot be compared"


def test_the_command_says_so_and_exits_by_it(drill: DrillResult, tmp_path: Path) -> None:
    slow = drilled(1, slower=2.0)
    for name, result in (("a", drill), ("b", slow)):
        (tmp_path / f"{name}.json").write_text(result.model_dump_json())
    a, b = str(tmp_path / "a.json"), str(tmp_path / "b.json")
    worse = CliRunner().invoke(app, ["drill", "compare", a, b, "--json", str(tmp_path / "out.json")])
    assert worse.exit_code == 1, worse.output
    assert "worse" in worse.output
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["figures"][0]["judgement"] == "worse"
    assert CliRunner().invoke(app, ["drill", "compare", a, a]).exit_code == 0
