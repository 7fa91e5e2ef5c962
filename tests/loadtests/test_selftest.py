"""The self-test's own parts; `make drill-selftest` runs it whole, on a quiet machine."""

import json
from contextlib import nullcontext

import pytest

from loadtests.selftest import __main__ as command
from loadtests.selftest import checks
from loadtests.selftest.checks import Check


def test_the_checks_without_a_server_hold():
    for check in (*checks.queries(), checks.seeds()):
        assert check.held, check


def test_counts_that_are_not_mlperfs_are_found_out(monkeypatch):
    monkeypatch.setattr(checks, "queries_needed", lambda over, percentile: 459 + over)
    assert [check.held for check in checks.queries()] == [False, False]


def test_arrivals_that_ignore_their_seed_are_found_out(monkeypatch):
    schedule = checks.schedule
    monkeypatch.setattr(checks, "schedule", lambda load: schedule(load.model_copy(update={"seed": 1})))
    assert not checks.seeds().held


@pytest.mark.parametrize(("held", "code"), [((True, True), 0), ((True, False), 1)])
def test_a_missed_bar_is_exit_code_1_and_stands_in_the_file(held, code, monkeypatch, tmp_path, capsys):
    rows = [Check(name=f"check {n}", bar="1", measured="2", held=each) for n, each in enumerate(held)]
    monkeypatch.setattr(checks, "everything", lambda folder: rows)
    monkeypatch.setenv("DRILLYARD_HOME", str(tmp_path))
    with pytest.raises(SystemExit) if code else nullcontext() as ended:
        command.main()
    assert (ended.value.code if ended else 0) == code
    content = json.loads((tmp_path / "reports" / "drill-selftest.json").read_text())
    assert tuple(row["held"] for row in content["checks"]) == held
    assert ("MISS" in capsys.readouterr().out) == (code == 1)


@pytest.mark.integration
def test_the_recorder_sees_a_freeze_that_a_closed_loop_hides(samples):
    opened, closed = checks.freeze(samples)
    late = int(opened.measured), int(closed.measured)
    assert late[0] >= 240  # of about 300 that are due in it; a busy machine's own delays add to both
    assert 1 <= late[1] < late[0] / 10
