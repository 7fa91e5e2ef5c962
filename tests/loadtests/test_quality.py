"""What decisions were worth under load, on a model whose every figure can be told by hand."""

import hashlib
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drillyard.core.contract import Quality
from loadtests.generator.payloads import Payloads
from loadtests.generator.recorder import TIMEOUT, WRONG
from loadtests.judge.quality import AnswersKept, TimesKept, measured
from loadtests.launch import run_drill
from loadtests.report.page import render
from loadtests.report.tables import tables
from loadtests.selftest.model import FEATURES
from tests.loadtests.support.builders import make_card, make_plan, make_result

ROWS = 10
QUALITY = Quality(score="score", decision="is_fraud", reviewed=3, weight="V28")
CARD = make_card(quality=QUALITY)
TIMES = np.arange(25) / 10.0  # two passes and a half


def samples() -> dict[str, Any]:
    """Ten rows with scores 0 to 9; 9, 8 and 0 are positive, and cost 100, 60 and 40; 8 and 9 are decided."""
    features = np.zeros((ROWS, FEATURES), np.float32)
    features[:, 28] = [40, 1, 1, 1, 1, 1, 1, 1, 60, 100]
    return {
        "input.features": features,
        "output.score": np.arange(ROWS, dtype=np.float32),
        "output.is_fraud": np.arange(ROWS) >= 8,
        "output.reasons": np.zeros((ROWS, FEATURES), np.float32),
        "truth": np.isin(np.arange(ROWS), [0, 8, 9]),
    }


def figures(answered: set[int], wrong: dict[int, tuple[float, bool]] | None = None) -> dict[str, Any]:
    kept = array("d", [TIMES[number] for number in sorted(answered)])
    found = measured(CARD, samples(), rows=ROWS, times=TIMES, answered_s=kept, wrong=wrong or {})
    assert found is not None
    return found


def test_a_drill_that_answers_everything_is_worth_what_the_model_is() -> None:
    found = figures(set(range(25)))
    assert found["answered"] == [1.0, 1.0]
    assert found["precision"] == pytest.approx([2 / 3, 2 / 3])
    assert found["missed"] == pytest.approx([0.2, 0.2])  # the positive with score 0: 40 of 200
    assert found["unloaded"] == {"precision": found["precision"][0], "missed": found["missed"][0]}
    assert found["at_stake"] == 400
    assert found["t_s"] == pytest.approx([0.45, 1.45])


def test_an_unanswered_positive_costs_its_weight_and_its_place_among_the_reviewed() -> None:
    found = figures(set(range(25)) - {19})  # the dearest, in the second pass
    assert found["answered"] == pytest.approx([1.0, 0.9])
    assert found["precision"] == pytest.approx([2 / 3, 1 / 3])
    assert found["missed"] == pytest.approx([0.2, 0.7])


def test_a_wrong_answer_counts_as_it_was_given() -> None:
    found = figures(set(range(25)), {9: (-1.0, False), 10: (50.0, True)})
    assert found["precision"] == pytest.approx([1 / 3, 1.0])
    assert found["missed"] == pytest.approx([0.7, 0.0])


def test_a_pass_without_any_answer_is_worth_nothing() -> None:
    found = figures(set(range(10)))
    assert (found["answered"][1], found["precision"][1], found["missed"][1]) == (0.0, 0.0, 1.0)


@given(st.sets(st.integers(0, 24)), st.integers(0, 24))
@settings(derandomize=True, max_examples=50, deadline=None)
def test_one_answer_more_never_misses_more(answered: set[int], more: int) -> None:
    before, after = figures(answered), figures(answered | {more})
    assert all(b >= a for b, a in zip(before["missed"], after["missed"], strict=True))
    assert all(b <= a for b, a in zip(before["answered"], after["answered"], strict=True))


def test_nothing_is_told_without_a_whole_pass_or_a_quality() -> None:
    kept = array("d", [0.0])
    assert measured(CARD, samples(), rows=30, times=TIMES, answered_s=kept, wrong={}) is None
    assert measured(make_card(), samples(), rows=ROWS, times=TIMES, answered_s=kept, wrong={}) is None


def test_only_answers_within_the_bound_are_kept() -> None:
    recorder = TimesKept(bound_ms=50)
    for intended_s, took_s, error in ((1, 0.04, None), (2, 0.06, None), (3, 0.04, WRONG), (4, 0.04, "503")):
        recorder.sent(intended_s, intended_s)
        recorder.outcome(intended_s, intended_s + took_s, error)
    recorder.sent(5, 5)
    recorder.outcome(5, 15, TIMEOUT)
    assert list(recorder.answered_s) == [1, 3]
    assert recorder.requests == 5


def test_wrong_answers_are_read_until_a_right_one_comes() -> None:
    payloads = Payloads(CARD, samples())
    kept = AnswersKept(payloads, QUALITY)
    lie = orjson.dumps({"outputs": [{"name": "score", "data": [7.5]}, {"name": "is_fraud", "data": [True]}]})
    assert kept.judge(12, 200, lie) == WRONG
    assert kept.judge(13, 200, b"no json") == WRONG
    assert kept.judge(14, 503, b"") == "503"
    assert kept.wrong == {12: (7.5, True)}
    assert kept.judge(0, 200, payloads.first_answer()) is None
    assert kept.wrong == {12: (7.5, True)}
    kept.wrong[10] = (1.0, False)
    assert kept.judge(10, 200, payloads.first_answer()) is None
    assert kept.wrong == {12: (7.5, True)}
    assert kept.choose(12) == payloads.choose(12) == 2


@pytest.mark.integration
def test_a_drill_of_a_server_that_sheds_tells_what_it_cost(delay_server, arrays, tmp_path: Path) -> None:
    truth = arrays["output.is_fraud"]  # a perfect model, so that nothing but the load misses anything
    np.savez(tmp_path / "samples.npz", **{**arrays, "truth": truth})
    digest = hashlib.sha256((tmp_path / "samples.npz").read_bytes()).hexdigest()
    quality = QUALITY.model_copy(update={"reviewed": 10})
    (tmp_path / "card.json").write_text(make_card(samples_sha256=digest, quality=quality).model_dump_json())
    plan = make_plan(rate_rps=100, duration_s=3)
    url = delay_server("--fail-every", 4)
    result = run_drill(plan, url=url, samples=tmp_path, out=tmp_path / "r.json")
    found = result.extra["quality"]
    assert len(found["t_s"]) == result.requests // len(truth) >= 3
    assert found["unloaded"] == {"precision": 1.0, "missed": 0.0}
    for answered, missed, precision in zip(found["answered"], found["missed"], found["precision"], strict=True):
        assert answered <= 0.77  # every fourth is refused; on a busy machine some come too late
        assert 0.02 < missed < 0.98
        assert precision == 1.0  # fewer are reviewed, and all of them are positive
    assert "Quality under load" in render([result], title="t")


def test_the_table_sets_the_drill_beside_the_model_unloaded() -> None:
    result = make_result(make_plan(), extra={"quality": figures(set(range(25)) - {19})})
    (table,) = tables(result)
    assert table.title == "Quality under load"
    assert list(table.rows) == [
        ["answered in time", "100.0%", "95.0%", "90.0%"],
        ["precision in the top 3", "66.7%", "50.0%", "33.3%"],
        ["V28 missed, of 400 at stake", "20.0%", "45.0%", "70.0%"],
    ]
