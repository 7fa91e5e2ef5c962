"""Versions that are wrong on purpose: one passes every check of files and answers badly, the other is refused."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from drillyard.core.contract import CHAMPION, DatasetRef, ModelCard, ModelRef, Parity, TensorSpec, Threshold
from drillyard.core.errors import ArtifactRefused, UsageError
from drillyard.core.settings import Settings
from pipelines import registry, tracking
from pipelines.spoil import spoil
from serving.artifact import fetch
from serving.loading import load

pytestmark = pytest.mark.integration  # a registry of its own


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home whose champion is a matrix."""
    settings = Settings.from_env({"DRILLYARD_HOME": str(tmp_path / "home")})
    folder = tmp_path / "matrix"
    folder.mkdir()
    weights = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["features", "weights"], ["score"])],
        "matrix",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), folder / "model.onnx"
    )
    features = np.random.default_rng(1).normal(size=(16, 3)).astype(np.float32)
    np.savez(folder / "samples.npz", **{"input.features": features, "output.score": features @ weights})
    card = ModelCard(
        name="matrix",
        version=1,
        task="anomaly-detection",
        recipe="test",
        inputs=(TensorSpec(name="features", dtype="FP32", shape=(-1, 3)),),
        outputs=(TensorSpec(name="score", dtype="FP32", shape=(-1, 2)),),
        labels=("a", "b", "c"),
        threshold=Threshold(value=0.5, chosen_by="test"),
        primary_metric="average_precision",
        metrics={"average_precision": (1.0, 1.0, 1.0)},
        dataset=DatasetRef(name="generated", sha256="0" * 64),
        parity=Parity(samples=16, max_abs_difference=0.0, tolerance=1e-5, reason="made by hand"),
        commit="0000000",
        run_id="none",
        opset=20,
        onnx_sha256=hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest(),
        samples_sha256=hashlib.sha256((folder / "samples.npz").read_bytes()).hexdigest(),
    )
    (folder / "card.json").write_text(card.model_dump_json())
    client = tracking.connect(settings)
    client.create_registered_model("matrix")
    client.create_model_version("matrix", source=folder.as_uri())
    client.set_registered_model_alias("matrix", CHAMPION, "1")
    client.set_model_version_tag("matrix", "1", "promoted_at", "2026-01-01T00:00:00.000+00:00")
    return settings


def test_worse_weights_pass_every_check_and_answer_otherwise(settings: Settings) -> None:
    worse = spoil(ModelRef.parse("matrix"), settings, "weights")
    assert worse == ModelRef(name="matrix", version=2)
    places = {"tracking_uri": settings.tracking_uri, "cache": settings.models}
    good, bad = (load(ModelRef(name="matrix", version=v), **places, threads=1, beside=None) for v in (1, 2))
    rows = {"features": np.ones((1, 3), dtype=np.float32)}
    difference = good.predict(rows, ("score",))["score"] - bad.predict(rows, ("score",))["score"]
    assert np.abs(difference).max() > 0.1
    assert "spoilt weights of matrix/1" in bad.card.notes["spoilt"]
    champion = registry.resolve(tracking.connect(settings), ModelRef.parse("matrix"))
    assert champion.version == 1, "nobody serves it unless asked to"


def test_a_damaged_file_becomes_champion_is_refused_and_is_rolled_back(settings: Settings) -> None:
    assert spoil(ModelRef.parse("matrix"), settings, "file").version == 2
    with pytest.raises(ArtifactRefused, match=r"model\.onnx has sha256"):
        fetch(ModelRef.parse("matrix"), tracking_uri=settings.tracking_uri, cache=settings.models)
    assert registry.rollback("matrix", settings).version == 1
    assert fetch(ModelRef.parse("matrix"), tracking_uri=settings.tracking_uri, cache=settings.models).card.version == 1


def test_only_the_embedded_registry_can_be_spoilt(tmp_path: Path) -> None:
    remote = {"DRILLYARD_HOME": str(tmp_path), "MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    with pytest.raises(UsageError, match="embedded registry"):
        spoil(ModelRef.parse("matrix"), Settings.from_env(remote), "file")
