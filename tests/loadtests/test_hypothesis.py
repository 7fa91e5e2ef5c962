import pytest

from drillyard.core.slo import Expectation, Hypothesis, Verdict
from loadtests.judge.hypothesis import figure, put_to_the_test
from tests.loadtests.support.builders import make_plan, make_result


def put(*expects: Expectation, verdict: Verdict = Verdict.PASS):
    plan = make_plan().model_copy(update={"hypothesis": Hypothesis(text="so it goes", expects=expects)})
    return put_to_the_test(make_result(plan, verdict=verdict, extra={"phases": {"after": {"p99_ms": 30.0}}}))


@pytest.mark.parametrize(
    ("bounds", "held"),
    [
        ({"at_most": 30}, True),
        ({"at_most": 29.9}, False),
        ({"at_least": 30}, True),
        ({"at_least": 30.1}, False),
        ({"at_least": 1, "at_most": 2}, False),
    ],
)
def test_a_figure_beyond_its_bound_refutes(bounds, held):
    result = put(Expectation(figure="extra.phases.after.p99_ms", **bounds))
    assert result.hypothesis_held is held
    (finding,) = result.findings
    assert (finding.measured, finding.held) == (30.0, held)


def test_one_refuted_expectation_is_enough():
    result = put(Expectation(figure="errors", at_most=0), Expectation(figure="p99_ms", at_most=0))
    assert [finding.held for finding in result.findings] == [True, False]
    assert result.hypothesis_held is False


def test_a_figure_that_is_missing_confirms_nothing():
    assert put(Expectation(figure="extra.phases.before.p99_ms", at_most=1e9)).hypothesis_held is False
    assert figure(put(), "plan") is None


def test_an_invalid_measurement_leaves_the_hypothesis_open():
    result = put(Expectation(figure="errors", at_most=0), verdict=Verdict.INVALID)
    assert result.hypothesis_held is None
    assert result.findings[0].held


def test_a_drill_without_a_hypothesis_has_no_findings():
    result = put_to_the_test(make_result(make_plan()))
    assert (result.findings, result.hypothesis_held) == ((), None)
