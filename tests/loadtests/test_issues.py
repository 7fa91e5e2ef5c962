"""The issue pack: each failure has two sides that differ in what is wrong, and a figure that can tell them apart."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drillyard.core.errors import UsageError
from drillyard.core.settings import Settings
from drillyard.core.slo import DrillResult, Verdict
from loadtests import scrape, steady
from loadtests.chaos import faults
from loadtests.generator.arrivals import schedule
from loadtests.issue_pack import averages, issues
from loadtests.issue_pack import run as issue_run
from loadtests.issue_pack.issue import Issue, Side
from serving import mistakes
from serving.recipes import laptop
from tests.loadtests.support.builders import make_plan, make_result
from tests.loadtests.support.stand_ins import Server

LONGEST_S, START_S = 120.0, 25.0


@pytest.mark.parametrize("name", issues.ISSUES)
def test_both_sides_are_asked_the_same_of_servers_that_exist_and_fit_into_two_minutes(name: str) -> None:
    issue = issues.get(name, "some-model")
    if not isinstance(issue.broken, Side) or not isinstance(issue.fixed, Side):
        assert callable(issue.broken)
        assert callable(issue.fixed)
        return
    assert (issue.broken.recipe, issue.broken.plan.retries) != (issue.fixed.recipe, issue.fixed.plan.retries)
    assert issue.broken.plan.load == issue.fixed.plan.load
    took_s = 0.0
    for side in (issue.broken, issue.fixed):
        assert side.plan.model == "some-model"
        assert len(schedule(side.plan.load)) > 1000
        for strike in side.plan.strikes:
            faults.get(strike.fault)
        if side.recipe is not None:
            mistakes.get(side.recipe)(laptop("some-model"))
        took_s += START_S + side.plan.load.duration_s
    assert took_s <= LONGEST_S


def test_an_unknown_issue_or_recipe_is_told_those_that_are() -> None:
    with pytest.raises(UsageError, match="unbounded-queue"):
        issues.get("gremlins", "fraud")
    with pytest.raises(UsageError, match="unbounded-queue"):
        mistakes.get("gremlins")


def test_wrong_on_purpose_is_refused_without_saying_so() -> None:
    wrong = mistakes.get("batches-never-fill")(laptop("fraud"))
    assert wrong.max_ongoing_requests < wrong.batching.max_rows
    with pytest.raises(UsageError, match="batches of one-row requests never fill"):
        dataclasses.replace(wrong, wrong_on_purpose=False)


@pytest.mark.parametrize(
    ("better", "broken", "fixed", "cured"),
    [
        ("lower", 100.0, 10.0, True),
        ("lower", 15.0, 10.0, False),  # not by the margin
        ("lower", 100.0, 0.0, True),
        ("lower", 0.0, 0.0, False),  # the failure did not show
        ("higher", 10.0, 100.0, True),
        ("higher", 100.0, 10.0, False),
        ("higher", 0.0, 100.0, True),
        ("lower", None, 10.0, False),
    ],
)
def test_a_cure_must_be_better_by_its_margin(
    better: Any, broken: float | None, fixed: float | None, cured: bool
) -> None:
    issue = dataclasses.replace(issues.get("unbounded-queue", "fraud"), better=better, ratio=2.0)
    assert issue.cured(broken, fixed) is cured


def test_averaged_percentiles_are_far_off_and_merged_ones_are_not() -> None:
    averaged, merged = averages.averaged(), averages.merged()
    everything = np.concatenate(averages._latencies_ms())
    assert merged["true_ms"] == averaged["true_ms"]
    assert np.mean(everything > merged["true_ms"]) == pytest.approx(0.01, abs=1e-4)
    assert merged["off"] < 0.002  # three digits of the histogram
    assert averaged["off"] > 0.3


def test_metrics_are_summed_over_labels_and_of_drift_the_largest_counts() -> None:
    before = scrape.summed('a_total{x="1"} 2\na_total{x="2"} 3\n# HELP b no\n', "fraud")
    text = 'a_total{x="1 2"} 9\nb_total 4\ndrillyard_batch_rows_sum 60\ndrillyard_batch_rows_count{m="f"} 20\n'
    text += 'drillyard_input_drift_psi{f="a"} 0.3\ndrillyard_input_drift_psi{f="b"} 0.1\n'
    assert before == {"a_total": 5.0}
    assert scrape.figures(before, scrape.summed(text, "fraud")) == {
        "a_total": 4.0,
        "b_total": 4.0,
        "rows_per_call": 3.0,
        "input_drift_psi": 0.3,
    }


def test_what_another_model_of_the_server_did_is_not_this_ones() -> None:
    text = 'drillyard_input_drift_psi{model="fraud",feature="V1"} 1.3\n'
    text += 'drillyard_input_drift_psi{feature="mean",model="vision"} 0.2\n'
    text += 'a_total{model="fraud"} 2\na_total{model="vision"} 3\na_total{other_model="fraud"} 5\n'
    assert scrape.summed(text, "vision") == {"drillyard_input_drift_psi": 0.2, "a_total": 8.0}


def outcome(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, broken: dict[str, Any], fixed: dict[str, Any]
) -> issue_run.Outcome:
    """Of the unbounded queue, with these results in place of drills."""
    results = {"unbounded-queue": broken, "narrow": fixed}
    started: list[dict[str, Any]] = []

    class Serving:
        def __init__(self, model: str, **options: Any) -> None:
            started.append(options)

        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    def drilled(side: Side, *_: object, **__: object) -> DrillResult:
        assert side.recipe is not None
        return make_result(make_plan(), **results[side.recipe])

    monkeypatch.setattr(issue_run, "server", Serving)
    monkeypatch.setattr(issue_run, "drilled", drilled)
    monkeypatch.setattr(steady, "steal_share", lambda _: 0.0)
    issue: Issue = issues.get("unbounded-queue", "fraud")
    found = issue_run.run(issue, settings, port=1, say=lambda _: None, on_progress=lambda _: None)
    assert list(dict.fromkeys(each["recipe"] for each in started)) == list(results)
    return found


def test_the_verdict_is_about_the_failure_and_its_cure(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    settings = server.target.settings
    seen = outcome(monkeypatch, settings, {"goodput_rps": 10.0}, {"goodput_rps": 300.0})
    assert seen.verdict is Verdict.PASS
    assert (seen.figures[0].broken, seen.figures[0].fixed) == (10.0, 300.0)
    unseen = outcome(monkeypatch, settings, {"goodput_rps": 290.0}, {"goodput_rps": 300.0})
    assert unseen.verdict is Verdict.FAIL
    late = outcome(monkeypatch, settings, {"goodput_rps": 10.0, "late_sends": 500}, {"goodput_rps": 300.0})
    assert late.verdict is Verdict.INVALID


def test_an_issue_without_a_server_is_arithmetic(tmp_path: Path) -> None:
    settings = Settings.from_env({"DRILLYARD_HOME": str(tmp_path)})
    issue = issues.get("averaged-percentiles", "fraud")
    found = issue_run.run(issue, settings, port=1, say=lambda _: None, on_progress=lambda _: None)
    assert found.verdict is Verdict.PASS
    assert found.figures[0].words.startswith("how far")
