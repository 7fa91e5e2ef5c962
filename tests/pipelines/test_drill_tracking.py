"""A drill in MLflow, and a store that is down."""

import json
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from drillyard.cli import drill
from drillyard.cli.console import Console
from drillyard.core import budget
from drillyard.core.errors import ServiceUnreachable
from drillyard.core.settings import Settings
from drillyard.core.slo import DrillResult, Expectation, Hypothesis, Strike
from pipelines import tracking
from tests.loadtests.support.builders import make_plan, make_result


@pytest.fixture
def result() -> DrillResult:
    plan = make_plan().model_copy(
        update={
            "model": "fraud/1",
            "name": "kill",
            "strikes": (Strike(fault="kill-replica", at_s=5),),
            "hypothesis": Hypothesis(text="Nothing is lost.", expects=(Expectation(figure="errors", at_most=0),)),
        }
    )
    series = {"t_s": [0, 1], "sent": [500, 500], "ok": [500, 499], "errors": [0, 1], "slow": [0, 3]}
    series |= {"p50_ms": [5, 6], "p99_ms": [20, 21]}
    quality = {"answered": [1.0, 0.5], "precision": [0.7, 0.5], "missed": [0.2, 0.4]}
    return budget.scored(
        make_result(plan, series=series, extra={"quality": quality}).model_copy(update={"hypothesis_held": True})
    )


@pytest.fixture
def files(result: DrillResult, tmp_path: Path) -> list[Path]:
    found = [tmp_path / "drill.json", tmp_path / "drill.html"]
    found[0].write_text(result.model_dump_json())
    found[1].write_text("<p>report</p>")
    return found


def settings(home: Path, **env: str) -> Settings:
    return Settings.from_env({"DRILLYARD_HOME": str(home), **env})


@pytest.mark.integration
def test_a_drill_is_a_run_with_plan_figures_files_and_its_model_version(
    result: DrillResult, files: list[Path], tmp_path: Path
) -> None:
    where = settings(tmp_path / "home")
    client = tracking.connect(where)
    client.create_registered_model("fraud")
    client.create_model_version("fraud", source=str(tmp_path))
    run_id = tracking.log_drill(result, files, where)

    run = client.get_run(run_id)
    assert client.get_experiment(run.info.experiment_id).name == "drills"
    assert run.info.status == "FINISHED"
    assert run.data.params["load.rate_rps"] == "200.0"
    assert run.data.params["slo.p99_ms"] == "250.0"
    assert "kill-replica" in run.data.params["strikes"]
    assert run.data.metrics["p99_ms"] == result.p99_ms
    assert run.data.metrics["budget_spent/availability"] == pytest.approx(0.1)
    assert run.data.metrics["quality/missed"] == pytest.approx(0.3)
    assert [point.value for point in client.get_metric_history(run_id, "second/p99_ms")] == [20, 21]
    tags = run.data.tags
    assert (tags["verdict"], tags["model.name"], tags["model.version"]) == ("PASS", "fraud", "1")
    assert tags["hypothesis_held"] == "True"
    assert {file.path for file in client.list_artifacts(run_id)} == {"drill.json", "drill.html"}
    assert client.get_model_version("fraud", "1").tags["drill.kill"] == f"PASS {run_id}"


def test_a_store_that_is_down_is_told_and_costs_nothing_else(
    result: DrillResult, files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = settings(tmp_path / "home", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    with pytest.raises(ServiceUnreachable):
        tracking.log_drill(result, files, where)
    drill.track(result, files, where, Console(quiet=True, json_path=None))
    said = " ".join(capsys.readouterr().out.split())
    assert "not logged to MLflow" in said
    assert f"the drill is kept in {files[0]}" in said
    assert json.loads(files[0].read_text())["plan"]["model"] == "fraud/1"


def test_a_store_that_dies_on_the_way_is_unreachable_too(
    result: DrillResult, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dying:
        def get_experiment_by_name(self, name: str) -> MlflowClient:
            raise ConnectionError("gone")

    monkeypatch.setattr(tracking, "connect", lambda settings: Dying())
    with pytest.raises(ServiceUnreachable, match="could not be logged"):
        tracking.log_drill(result, files, settings(tmp_path))
