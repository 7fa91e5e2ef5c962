"""Recipe to champion with a real store: the gate, roll back, and stores that are gone or die."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from drillyard.core.contract import CHALLENGER, CHAMPION, ModelRef
from drillyard.core.errors import ArtifactRefused, GateRefused, ModelNotFound, ServiceUnreachable, UsageError
from drillyard.core.settings import Settings
from pipelines import pipeline, registry, system, tracking
from pipelines.pipeline import Listener
from pipelines.runfolder import RunFolder
from serving.artifact import fetch

pytestmark = pytest.mark.integration


def recipe(**train: object):
    base = system.get("fraud").recipe("smoke")
    return replace(base, train=replace(base.train, **train))


@pytest.fixture(scope="module")
def champion(ray_local: None, tmp_path_factory: pytest.TempPathFactory):
    """A home with one trained champion, shared by the tests that only add to it."""
    home = tmp_path_factory.mktemp("home with space")
    settings = Settings.from_env({"DRILLYARD_HOME": str(home), "DRILLYARD_CACHE": str(home / "cache")})
    return settings, pipeline.run(recipe(), settings, workers=1, listener=Listener())


def test_the_run_holds_what_the_model_came_from(champion) -> None:
    settings, outcome = champion
    assert outcome.promoted
    client = MlflowClient(settings.tracking_uri)
    run = client.get_run(outcome.card.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["train.learning_rate"] == "0.003"
    assert run.data.tags["dataset.sha256"] == outcome.card.dataset.sha256
    assert run.inputs.dataset_inputs[0].dataset.name == "synthetic-transactions"
    assert len(client.get_metric_history(outcome.card.run_id, "validation/loss")) == 3
    names = {item.path for item in client.list_artifacts(outcome.card.run_id, "model")}
    assert {"model/model.onnx", "model/card.json", "model/samples.npz", "model/MLmodel"} <= names
    assert {item.path for item in client.list_artifacts(outcome.card.run_id, "plots")} == {
        "plots/precision_recall.png",
        "plots/score_histogram.png",
    }


def test_serving_accepts_what_training_registered(champion) -> None:
    settings, outcome = champion
    local = fetch(ModelRef(name="fraud", alias=CHAMPION), tracking_uri=settings.tracking_uri, cache=settings.models)
    assert local.card == outcome.card
    samples = np.load(local.path / "samples.npz")
    assert len(samples["truth"]) >= 1024
    assert local.card.summary is not None
    assert [bins.feature for bins in local.card.summary.inputs] == list(local.card.labels)
    assert samples["input.features"].shape == (len(samples["truth"]), 29)


def test_mlflow_itself_can_load_the_model(champion) -> None:
    settings, outcome = champion
    mlflow.set_tracking_uri(settings.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/fraud/{outcome.ref.version}")
    answer = model.predict({"features": np.zeros((2, 29), np.float32)})
    assert answer["score"].shape == (2,)


def test_gate_refuses_a_worse_model_and_force_and_rollback_move_the_alias(champion) -> None:
    settings, first = champion
    worse = pipeline.run(recipe(epochs=1, learning_rate=1e-6), settings, workers=1, listener=Listener())
    assert not worse.promoted
    assert "is worse than the champion fraud/1" in worse.gate
    assert "average_precision -0." in worse.gate
    client = MlflowClient(settings.tracking_uri)
    assert client.get_model_version_by_alias("fraud", CHAMPION).version == first.ref.version
    assert client.get_model_version_by_alias("fraud", CHALLENGER).version == worse.ref.version

    with pytest.raises(GateRefused):
        registry.promote(worse.ref, settings)
    assert registry.promote(worse.ref, settings, force=True).ref == worse.ref
    assert registry.rollback("fraud", settings) == first.ref
    with pytest.raises(UsageError, match="an earlier champion to go back to"):
        registry.rollback("fraud", settings)
    # A version that was rolled back once and promoted again is a champion to go back to like any other.
    registry.promote(worse.ref, settings, force=True)
    registry.promote(first.ref, settings, force=True)
    assert registry.rollback("fraud", settings) == worse.ref
    registry.promote(first.ref, settings, force=True)


def test_a_published_folder_is_not_published_twice(champion) -> None:
    settings, outcome = champion
    before = len(registry.versions(settings))
    assert registry.publish(RunFolder.open(outcome.folder), settings, run_id=None) == outcome.ref
    assert len(registry.versions(settings)) == before


def test_gate_refuses_models_of_other_data(champion, monkeypatch) -> None:
    settings, first = champion
    card = first.card.model_copy(update={"dataset": first.card.dataset.model_copy(update={"name": "ulb-creditcard"})})
    monkeypatch.setattr(registry, "_fetch", lambda ref, target: (first.folder / "model" / "model.onnx", cards.pop()))
    cards = [card, first.card]
    with pytest.raises(GateRefused, match=r"other data.*promote fraud/\d+ --force"):
        registry._compare(ModelRef(name="fraud", version=2), first.ref, settings, None, print)


def test_unknown_models_are_named(champion) -> None:
    settings, _ = champion
    with pytest.raises(ModelNotFound, match="nothing@champion"):
        registry.promote(ModelRef.parse("nothing"), settings)
    with pytest.raises(ModelNotFound, match="fraud/99"):
        registry.read_card(ModelRef.parse("fraud/99"), settings)


def test_a_tampered_registered_file_is_refused(champion, tmp_path) -> None:
    settings, outcome = champion
    source = MlflowClient(settings.tracking_uri).get_model_version("fraud", "1").source
    path = Path(source.removeprefix("file://").replace("%20", " ")) / "model.onnx"
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == outcome.card.onnx_sha256
    try:
        path.write_bytes(content + b"\0")
        with pytest.raises(ArtifactRefused):
            registry.read_card(outcome.ref, settings)
    finally:
        path.write_bytes(content)


def test_a_store_that_is_gone_fails_before_training(ray_local, settings) -> None:
    gone = settings.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    said: list[str] = []
    with pytest.raises(ServiceUnreachable, match="MLFLOW_TRACKING_URI"):
        pipeline.run(recipe(), gone, workers=1, listener=Listener(say=said.append))
    assert said == []
    assert not gone.runs.exists()


def test_a_store_that_dies_while_training_loses_nothing(ray_local, settings, mlflow_server) -> None:
    served = settings.model_copy(update={"tracking_uri": mlflow_server.uri})
    said: list[str] = []

    def kill_in_epoch_two(record) -> None:
        if record.epoch == 2:
            mlflow_server.kill()

    with pytest.raises(ServiceUnreachable, match="drillyard models relog") as caught:
        pipeline.run(
            recipe(epochs=3), served, workers=1, listener=Listener(say=said.append, on_record=kill_in_epoch_two)
        )
    (folder,) = settings.runs.iterdir()
    assert str(folder) in str(caught.value)
    kept = RunFolder.open(folder)
    assert kept.onnx.is_file()

    mlflow_server.start()
    ref = registry.publish(kept, served, run_id=None)
    card = registry.read_card(ref, served)
    assert card.onnx_sha256 == hashlib.sha256(kept.onnx.read_bytes()).hexdigest()
    steps = tracking.connect(served).get_metric_history(card.run_id, "validation/loss")
    assert len(steps) == 3
    assert json.loads((folder / "evaluation.json").read_text())["metrics"].keys() == card.metrics.keys()


@pytest.mark.parametrize(
    ("bad", "workers", "key"),
    [({"dataset": "nonsense"}, 1, "dataset"), ({}, 10_000, "workers")],
)
def test_what_is_wrong_before_training_leaves_nothing_behind(
    champion, bad: dict[str, str], workers: int, key: str
) -> None:
    settings, _ = champion
    client = MlflowClient(settings.tracking_uri)
    experiment = client.get_experiment_by_name("fraud").experiment_id

    def left() -> tuple[int, int]:
        return len(list(settings.runs.iterdir())), len(client.search_runs([experiment]))

    before = left()
    with pytest.raises(UsageError, match=key):
        pipeline.run(replace(recipe(), **bad), settings, workers=workers, listener=Listener())
    assert left() == before


def test_every_page_of_the_registry_is_read(settings: Settings) -> None:
    client = tracking.connect(settings)
    for number in range(102):  # a page holds 100
        client.create_registered_model(f"m{number:03}")
        client.create_model_version(f"m{number:03}", source=str(settings.artifacts))
    assert len(registry.versions(settings)) == 102
