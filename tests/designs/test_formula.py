"""Formulas: arithmetic on named figures, and nothing else."""

import pytest

from designs import formula
from designs.evidence import Evidence
from designs.figures import Bound, Estimate, Input, compute, shown
from drillyard.core.errors import UsageError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a * b / 4", 1.5),
        ("ceil(a / b) * -1 + 2 ** 3", 7.0),
        ("max(a, b) - min(a, b)", 1.0),
        ("sqrt(a + a)", 2.0),
    ],
)
def test_arithmetic(text: str, value: float) -> None:
    assert formula.evaluate(text, {"a": 2.0, "b": 3.0}) == value


def test_names_are_the_figures_it_needs() -> None:
    assert formula.names("ceil(a / b) + a * c") == ("a", "b", "c")


@pytest.mark.parametrize("text", ["__import__('os')", "a.b", "a if b else c", "[a]", "open(a)", "a < b", "'x'"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        formula.evaluate(text, {"a": 1.0, "b": 2.0, "c": 3.0})


USERS = Input(key="users_count", value=10.0, unit="users", says="", source="assumed")
RATE = Estimate(key="rate_rps", unit="requests/s", formula="users_count * 2", says="")
CORES = Estimate(key="cores", unit="cores", formula="rate_rps * cpu_s", says="")
CPU = Evidence(value=0.5, unit="s", says="", commit="c", machine="m", n=3, spread=(0.4, 0.6), command="make x")


def test_estimates_follow_inputs_evidence_and_each_other() -> None:
    figures = compute([USERS], {"cpu_s": CPU}, [RATE, CORES])
    assert figures["cores"].value == 10.0
    assert figures["cpu_s.high"].value == 0.6
    assert figures["cpu_s.n"].value == 3


def test_what_waits_for_a_measurement_is_left_out() -> None:
    assert "cores" not in compute([USERS], {}, [RATE, CORES])


def test_a_given_figure_replaces_whatever_it_was_and_moves_what_follows() -> None:
    given = compute([USERS], {"cpu_s": CPU}, [RATE, CORES], {"rate_rps": 100.0})
    assert (given["rate_rps"].origin, given["cores"].value, given["users_count"].value) == ("given", 50.0, 10.0)


def test_a_stranger_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="speed"):
        compute([USERS], {}, [RATE], {"speed": 1.0})


def test_figures_without_an_answer_are_refused() -> None:
    with pytest.raises(UsageError, match=r"users_count=0"):
        compute([USERS], {}, [Estimate(key="share", unit="", formula="1 / users_count", says="")], {"users_count": 0.0})


def test_bounds() -> None:
    bound = Bound(key="cores", at_least=1, at_most=2, says="")
    assert [bound.holds(value) for value in (0.9, 1, 2, 2.1)] == [False, True, True, False]
    assert bound.limits() == "at least 1 and at most 2"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4797.2, "4,797"),
        (0.72814, "0.728"),
        (3.0, "3"),
        (200e6, "200,000,000"),
        (12.345, "12.3"),
        (1.14155e-5, "0.0000114"),
    ],
)
def test_numbers_as_people_write_them(value: float, text: str) -> None:
    assert shown(value) == text
