"""The catalogue: each drill can be made of any design, and says beforehand what would prove it wrong."""

import re
from xml.etree import ElementTree

import pytest

import designs
from drillyard.core.errors import InvalidMeasurement, UsageError
from drillyard.core.load import ClosedLoad, Load, Spike
from drillyard.core.slo import DrillPlan, DrillResult, Slo, Verdict
from loadtests.catalogue import omission
from loadtests.catalogue.drills import CATALOGUE, get
from loadtests.catalogue.search import PRECISION, highest_valid
from loadtests.generator.arrivals import schedule
from loadtests.generator.limit import peak
from loadtests.judge.hypothesis import figure, put_to_the_test, told
from loadtests.report import plots
from tests.loadtests.support.builders import make_plan, make_result

ONE_CORE_RPS = 3000  # what the self-test holds the generator to
SYSTEMS = {name: designs.get(name).drill for name in designs.systems()}
# A design that nobody has written yet: nothing in the catalogue may know the others by name.
SYSTEMS["ranking"] = DrillPlan(
    model="ranking",
    load=Load(rate_rps=40, duration_s=20, seed=3),
    slo=Slo(p50_ms=30, p99_ms=70, max_error_rate=0.01),
)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", CATALOGUE)
def test_each_drill_can_be_made_of_each_design(name, system):
    design = SYSTEMS[system]
    plan = CATALOGUE[name].planned(design)
    assert (plan.model, plan.name) == (system, name)
    assert plan.load.duration_s >= plan.min_duration_s
    assert all(strike.at_s < plan.load.duration_s for strike in plan.strikes)
    assert CATALOGUE[name].planned(design) == plan
    if isinstance(plan.load, Load):
        assert plan.load.seed == design.load.seed
        assert len(schedule(plan.load)) > 459  # enough to prove a p99
        assert peak(schedule(plan.load)) < ONE_CORE_RPS
    assert DrillPlan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize("name", CATALOGUE)
def test_each_hypothesis_can_be_proved_wrong(name):
    hypothesis = get(name).planned(SYSTEMS["ranking"]).hypothesis
    assert hypothesis is not None
    assert hypothesis.text.endswith(".")
    assert hypothesis.expects
    for expectation in hypothesis.expects:
        assert (expectation.at_least, expectation.at_most) != (None, None)
        assert expectation.figure.partition(".")[0] in DrillResult.model_fields


def test_a_drill_lasts_as_long_as_is_asked_and_takes_its_shape_along():
    plan = get("spike").planned(SYSTEMS["ranking"], 90)
    assert plan.load == Load(
        rate_rps=20, duration_s=90, seed=3, shape=Spike(factor=10, at_s=30, lasts_s=30)
    )  # tenfold of a quiet half
    assert get("steady").planned(SYSTEMS["ranking"]).load == SYSTEMS["ranking"].load


def test_what_is_no_drill_or_no_open_load_is_refused():
    with pytest.raises(UsageError, match="drill='spikes'"):
        get("spikes")
    closed = make_plan().model_copy(update={"load": ClosedLoad(users=1, duration_s=10)})
    with pytest.raises(UsageError, match="load="):
        get("steady").planned(closed)


class System:
    """Keeps the promise up to its capacity; a generator that can send no more than its limit."""

    def __init__(self, capacity_rps: float, limit_rps: float = 1e9) -> None:
        self.capacity_rps, self.limit_rps = capacity_rps, limit_rps
        self.asked: list[float] = []

    def __call__(self, plan: DrillPlan) -> DrillResult:
        rate_rps = plan.load.rate_rps
        self.asked.append(rate_rps)
        if rate_rps > self.limit_rps:
            raise InvalidMeasurement("beyond the generator")
        verdict = Verdict.PASS if rate_rps <= self.capacity_rps else Verdict.FAIL
        return make_result(plan, verdict=verdict, offered_rps=rate_rps)


@pytest.mark.parametrize("capacity_rps", [30, 399, 400, 401, 1234, 9000])
def test_the_search_ends_next_to_the_capacity(capacity_rps):
    system = System(capacity_rps)
    found = highest_valid(get("server").planned(make_plan(rate_rps=200)), system)
    highest_rps = found.extra["search"]["highest_rps"]
    assert capacity_rps / PRECISION <= highest_rps <= capacity_rps
    assert found.plan.load.rate_rps == highest_rps
    assert found.verdict is Verdict.PASS
    assert len(system.asked) == len(found.extra["search"]["tries"]) <= 12
    assert found.hypothesis_held is (highest_rps >= 400)


def test_the_search_says_when_the_generator_was_the_limit():
    found = highest_valid(get("server").planned(make_plan(rate_rps=200)), System(1e9, limit_rps=1000))
    assert found.extra["search"]["limited_by_generator"] is True
    assert 1000 / PRECISION <= found.extra["search"]["highest_rps"] <= 1000
    assert highest_valid(make_plan(), System(500)).extra["search"]["limited_by_generator"] is False
    with pytest.raises(InvalidMeasurement):
        highest_valid(make_plan(), System(1e9, limit_rps=1))


def test_a_system_that_never_keeps_its_promise_has_no_valid_rate():
    system = System(0)
    found = highest_valid(get("server").planned(make_plan(rate_rps=200)), system)
    assert (found.verdict, found.extra["search"]["highest_rps"]) == (Verdict.FAIL, 0)
    assert found.hypothesis_held is False
    assert system.asked[:3] == [200, 100, 50]


def frozen(plan: DrillPlan) -> DrillResult:
    """What the freeze of the plan does to each kind of load."""
    assert plan.strikes
    is_closed = isinstance(plan.load, ClosedLoad)
    curve = [(50.0, 5.0), (99.0, 6.0 if is_closed else 2800.0), (100.0, 3000.0)]
    extra = {"over_p99_bound": 1 if is_closed else 300}
    return put_to_the_test(make_result(plan, p99_ms=curve[1][1], percentiles=curve, extra=extra))


def test_the_demonstration_sets_both_measurements_of_one_freeze_side_by_side():
    drill = get("omission")
    found = drill.run(drill.planned(SYSTEMS["ranking"]), frozen)
    assert found.extra["omission"]["closed_p99_ms"] == 6.0
    assert found.extra["omission"]["closed_over_bound"] == 1
    assert found.extra["omission"]["ratio"] == pytest.approx(2800 / 6)
    assert found.hypothesis_held is True
    picture = plots.standalone(omission.plot(found))
    root = ElementTree.fromstring(picture)  # a whole file of XML by itself
    words = "".join(root.itertext())
    assert "from intended send times" in words
    assert "closed loop" in words
    assert len(re.findall('class="line"', picture)) == 4  # two curves, two of the legend


def test_the_plot_of_a_drill_shows_each_second_and_the_bound():
    series = {
        "t_s": [0, 1],
        "sent": [9, 9],
        "ok": [9, 9],
        "errors": [0, 0],
        "p50_ms": [5.0, 6.0],
        "p99_ms": [200.0, 0.0],
    }
    picture = plots.standalone(plots.latency(make_result(make_plan(), series=series)))
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert "p99 bound 250 ms" in picture


def test_a_refuted_hypothesis_is_told_with_its_figure():
    plan = get("steady").planned(SYSTEMS["ranking"])
    assert told(put_to_the_test(make_result(plan, p99_ms=71.5, extra={"error_rate": 0.0}))) == [
        "hypothesis refuted: At the load it was designed for, the system keeps its promise.",
        "  p99_ms 71.5, expected at most 70",
    ]
    assert told(put_to_the_test(make_result(plan)))[1:] == ["  extra.error_rate not measured, expected at most 0.01"]
    assert told(make_result(make_plan())) == []
    assert figure(make_result(plan), "p99_ms") == 20.0
