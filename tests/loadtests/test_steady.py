"""Measurements are taken again when they were spoilt, and begun when the machine is left alone."""

import pytest

from drillyard.core.errors import InvalidMeasurement
from loadtests import steady
from tests.loadtests.support.builders import make_plan, make_result

real_steal_share = steady.steal_share
LATE, KEPT_UP = {"requests": 1000, "late_sends": 11}, {"requests": 1000, "late_sends": 10}


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.setattr(steady, "steal_share", lambda _: 0.0)


def results(*counts):
    left = [make_result(make_plan(), **each) for each in counts]
    return lambda: left.pop(0)


def test_a_drill_whose_generator_was_late_is_taken_again():
    said = []
    found = steady.kept_up(results(LATE, LATE, KEPT_UP), said.append)
    assert found.late_sends == 10
    assert [text.rpartition("; ")[2] for text in said] == ["once more", "once more"]


def test_the_last_of_four_is_returned_as_it_is():
    said = []
    assert steady.kept_up(results(LATE, LATE, LATE, LATE), said.append).late_sends == 11
    assert said[-1].endswith("the last of its tries")


def test_a_refusal_counts_as_a_try_and_the_last_one_is_raised():
    refusals = iter(range(9))

    def refuse():
        raise InvalidMeasurement(f"refusal {next(refusals)}")

    with pytest.raises(InvalidMeasurement, match="refusal 3"):
        steady.taken(refuse, lambda _: None)


def test_what_others_disturbed_is_measured_again(monkeypatch):
    shares, said = iter([0.2, 0.03]), []
    monkeypatch.setattr(steady, "steal_during", lambda measure: (measure(), next(shares)))
    assert steady.undisturbed(iter("ab").__next__, said.append) == "b"
    assert said == ["others took 20% of this machine's cores meanwhile; once more"]


def test_it_waits_while_others_take_the_cores_and_says_so_once(monkeypatch):
    shares, said = iter([0.34, 0.1, 0.03]), []
    monkeypatch.setattr(steady, "steal_share", lambda _: next(shares))
    steady.wait_until_left_alone(said.append)
    assert len(said) == 1
    assert "34%" in said[0]
    assert not list(shares)


def test_it_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(steady, "steal_share", lambda _: 1.0)
    steady.wait_until_left_alone(lambda _: None, patience_s=0.0)


def test_patience_doubles_with_each_try(monkeypatch):
    waits = []
    monkeypatch.setattr(steady, "wait_until_left_alone", lambda _, patience_s: waits.append(patience_s))
    steady.kept_up(results(LATE, LATE, LATE, LATE), lambda _: None)
    assert waits == [20, 40, 80, 160]


def test_the_share_is_of_all_cores_time(monkeypatch):
    #                user nice system idle iowait irq softirq steal
    ticks = iter([[100, 0, 50, 800, 10, 0, 0, 40], [110, 0, 50, 860, 10, 0, 0, 70]])
    monkeypatch.setattr(steady, "_cpu_ticks", lambda: next(ticks))
    assert real_steal_share(0.0) == 0.3
