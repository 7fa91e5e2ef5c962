"""The twin's part of what-if: a design's peak on machines like the calibrated one."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from designs import evidence
from designs.capacity import calibration, capacity
from designs.opened import open_design
from drillyard.cli.app import app
from drillyard.core.errors import UsageError
from tests.designs.support import made_up

MADE_UP = made_up.calibration("fraud/1", trace=((25.0, 0.5), (75.0, 1.5)))


def test_a_machine_gets_its_share_and_the_peak_takes_as_many_as_the_plan_says() -> None:
    found = capacity(open_design("serving", {"peak_rps": 4000.0, "replicas_count": 10.0}), MADE_UP)
    assert found.rate_rps == pytest.approx(400)
    assert found.prediction.scenario.load.rate_rps == pytest.approx(400)
    assert not found.prediction.scenario.generator_on_node
    assert found.machines % 3 == 0
    assert found.machines * 2 / 3 * found.sustainable_rps.value * 0.6 >= 4000
    assert found.utilisation_after_loss <= 0.6


def test_what_cannot_be_planned_is_named() -> None:
    with pytest.raises(UsageError, match="utilisation_target"):
        capacity(open_design("serving", {"target_utilisation_ratio": 1.2}), MADE_UP)


def test_a_calibration_is_this_folders_else_that_of_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "RESULTS", tmp_path)
    assert calibration("fraud", tmp_path) is None
    content = {"systems": {"fraud": {"calibration": MADE_UP.model_dump(mode="json")}}}
    (tmp_path / "bench-twin.json").write_text(json.dumps(content))
    assert calibration("vision", tmp_path) is None
    assert calibration("fraud", tmp_path) == MADE_UP
    (tmp_path / "twin").mkdir()
    (tmp_path / "twin" / "fraud.json").write_text(MADE_UP.model_copy(update={"machine": "here"}).model_dump_json())
    own = calibration("fraud", tmp_path)
    assert own is not None
    assert own.machine == "here"
    (tmp_path / "twin" / "fraud.json").write_text("{}")
    with pytest.raises(UsageError, match="drillyard twin calibrate"):
        calibration("fraud", tmp_path)


def test_what_if_asks_the_twin_where_it_was_calibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRILLYARD_HOME", str(tmp_path))
    call = ["design", "what-if", "fraud", "--rps", "50000", "--replicas", "20", "--json", str(tmp_path / "answer.json")]
    without = CliRunner().invoke(app, call)
    assert without.exit_code == 1
    assert "BREAKS utilisation_zone_lost_ratio" in without.output
    (tmp_path / "twin").mkdir()
    (tmp_path / "twin" / "fraud.json").write_text(MADE_UP.model_dump_json())
    found = CliRunner().invoke(app, call)
    assert "twin, calibrated on made up: 1 of the replicas" in found.output
    assert json.loads((tmp_path / "answer.json").read_text())["capacity"]["rate_rps"] == pytest.approx(2500)
