"""What the documentation says of a drill, and how results are kept beside earlier ones."""

import json
import subprocess

import pytest

from drillyard.cli.catalogue import _asked, _exit_code, _keep, _serving
from drillyard.core.errors import ServiceUnreachable
from drillyard.core.slo import Verdict
from loadtests.catalogue.drills import get
from loadtests.chaos import target
from loadtests.judge.hypothesis import put_to_the_test
from loadtests.report import summary
from tests.loadtests.support.builders import make_plan, make_result


def result(**changes):
    plan = get("steady").planned(make_plan(p99_ms=15))
    extra = {"error_rate": 0.0, "budget": {"spent": 0.25}}
    return put_to_the_test(make_result(plan, extra=extra, **changes))


def test_a_row_says_what_was_asked_expected_and_found():
    row = summary.row(result(verdict=Verdict.FAIL, reasons=("p99 20.0 ms > 15 ms",)), plot="a.svg")
    assert json.loads(json.dumps(row)) == row
    assert (row["drill"], row["system"], row["verdict"], row["hypothesis_held"]) == ("steady", "fraud", "FAIL", False)
    assert row["findings"] == ["p99_ms 20, expected at most 15", "extra.error_rate 0, expected at most 0.01"]
    assert (row["p99_ms"], row["budget_spent"], row["plot"]) == (20.0, 0.25, "a.svg")


def test_a_drill_without_a_result_has_the_same_columns():
    row = summary.unmeasured(get("steady").planned(make_plan()), "the generator is too slow")
    assert row.keys() == summary.row(result(), plot="a.svg").keys()
    assert (row["verdict"], row["reasons"]) == ("INVALID", ["the generator is too slow"])


def test_the_terminal_is_told_verdict_reasons_and_what_refutes():
    told = summary.lines(result(verdict=Verdict.FAIL, reasons=("p99 20.0 ms > 15 ms",)))
    assert told[0] == "steady of fraud: FAIL (p99 20.0 ms > 15 ms)"
    assert told[1].startswith("hypothesis refuted: ")
    assert told[2] == "  p99_ms 20, expected at most 15"


def test_a_drill_that_is_run_again_takes_the_place_of_its_earlier_row(tmp_path):
    path = tmp_path / "drills-fraud.json"
    for name, p99_ms in (("steady", 1), ("spike", 2), ("steady", 3)):
        _keep(path, {"drill": name, "p99_ms": p99_ms})
    rows = json.loads(path.read_text())["drills"]
    assert [(row["drill"], row["p99_ms"]) for row in rows] == [("spike", 2), ("steady", 3)]


def test_faults_strike_the_first_system_only():
    plans = {"fraud": make_plan(), "vision": make_plan()}
    assert [name for name, _ in _asked(get("spike"), plans)] == ["fraud", "vision"]
    assert [name for name, _ in _asked(get("omission"), plans)] == ["fraud"]


def test_a_server_that_does_not_start_is_told_with_its_reason(monkeypatch):
    calls = []

    def refuse(*words):
        calls.append(words)
        return subprocess.CompletedProcess(words, 2, b"", b"starting\nerror: host:port='x' is not valid\n")

    monkeypatch.setattr(target, "drillyard", refuse)
    with (
        pytest.raises(ServiceUnreachable, match="is not valid"),
        _serving(["fraud"], ("--replicas", "2"), 8000, Quiet()),
    ):
        raise AssertionError("there is nothing to drill")
    assert [words[:3] for words in calls] == [("serve", "up", "fraud")]  # and no `serve down` of another's server
    assert calls[0][-2:] == ("--replicas", "2")


class Quiet:
    def say(self, text: str) -> None:
        assert text


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([("PASS", True), ("FAIL", True)], 0),  # a broken promise may be just what was expected
        ([("PASS", True), ("PASS", False)], 1),
        ([("PASS", False), ("INVALID", None)], 3),
    ],
)
def test_the_exit_code_is_that_of_the_worst_drill(rows, code):
    assert _exit_code([{"verdict": verdict, "hypothesis_held": held} for verdict, held in rows]) == code
