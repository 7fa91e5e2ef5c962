"""Drills against the real server: malformed requests and inputs from elsewhere, and a model that gets hot beside."""

from pathlib import Path

import pytest

from drillyard.core.load import Load
from drillyard.core.settings import Settings
from drillyard.core.slo import DrillPlan, DrillResult, Slo, Strike
from drillyard.core.traffic import Drift, Poison, Retries
from loadtests.chaos.target import Target
from loadtests.launch import run_drill
from serving.state import ServerState

pytestmark = pytest.mark.integration
SLO = Slo(p50_ms=1000, p99_ms=5000, max_error_rate=0.0)  # this machine may be busy; right answers are what counts


def drilled(server: ServerState, settings: Settings, tmp_path: Path, plan: DrillPlan) -> DrillResult:
    target = Target.of(settings, plan.model)
    samples = settings.models / plan.model / str(server.models[plan.model])
    return run_drill(plan, url=server.url, samples=samples, out=tmp_path / "result.json", target=target)


def test_malformed_requests_get_4xx_and_the_others_their_right_answers(
    server: ServerState, settings: Settings, tmp_path: Path
) -> None:
    load = Load(rate_rps=60, duration_s=10)
    plan = DrillPlan(model="fraud", load=load, slo=SLO, traffic=Poison(share=0.2), retries=Retries())
    result = drilled(server, settings, tmp_path, plan)
    assert result.errors == 0, result.error_counts
    assert 60 < result.extra["rejected"] < 180
    assert result.extra["checked_answers"] == result.requests - result.extra["rejected"]
    assert result.extra["sends_per_request"] == 1.0  # a 4xx is not asked again
    assert result.extra["server"]["drillyard_requests_total"] >= result.requests


def test_images_from_elsewhere_are_answered_and_the_drift_metric_tells(
    server: ServerState, settings: Settings, tmp_path: Path
) -> None:
    load = Load(rate_rps=80, duration_s=12)  # the index needs 500 rows
    plan = DrillPlan(model="vision", load=load, slo=SLO, traffic=Drift(strength=0.6))
    result = drilled(server, settings, tmp_path, plan)
    assert result.errors == 0, result.error_counts
    assert result.extra["server"]["input_drift_psi"] > 0.25


def test_a_neighbour_that_gets_hot_is_a_strike_that_ends(
    server: ServerState, settings: Settings, tmp_path: Path
) -> None:
    strikes = (Strike(fault="hot-model", at_s=2, lasts_s=4),)
    plan = DrillPlan(model="fraud", load=Load(rate_rps=40, duration_s=16), slo=SLO, strikes=strikes)
    result = drilled(server, settings, tmp_path, plan)
    (mark,) = result.faults
    assert mark.ended_s is not None
    assert 2.0 <= mark.struck_s < mark.ended_s
    assert result.extra["faults"]["hot-model"]["whole_again_s"] is not None
    assert result.error_counts.get("wrong answer", 0) == 0
