"""Only the file its card describes is served, and a cached version needs no registry."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from drillyard.core.contract import CARD_FILE, MODEL_FILE, SAMPLES_FILE, ModelRef, TensorSpec
from drillyard.core.errors import ArtifactRefused, ModelNotFound, ServiceUnreachable
from serving.artifact import ORIGIN_FILE, LocalModel, fetch, verify
from serving.graph import open_session
from serving.predictor import Predictor
from tests.support import tiny_models

REF = ModelRef(name="fraud", version=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A real registry with both champions; its address."""
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    tiny_models.register_both(uri, folder / "source")
    return uri


def test_an_alias_becomes_a_verified_copy_that_outlives_the_registry(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fetch(ModelRef.parse("fraud"), tracking_uri=store, cache=tmp_path)
    assert (model.ref, model.path) == (REF, tmp_path / "fraud" / "1")
    assert {file.name for file in model.path.iterdir()} == {MODEL_FILE, CARD_FILE, SAMPLES_FILE, ORIGIN_FILE}
    assert [entry.name for entry in (tmp_path / "fraud").iterdir()] == ["1"], "no temporary file is left"
    with monkeypatch.context() as gone:
        gone.setattr("serving.artifact._resolve", None)  # to ask the registry would now be a TypeError
        assert fetch(REF, tracking_uri=store, cache=tmp_path) == model


def test_the_same_version_of_another_registry_is_another_model(store: str, tmp_path: Path) -> None:
    first = fetch(REF, tracking_uri=store, cache=tmp_path / "cache")
    other = f"sqlite:///{tmp_path / 'mlflow.db'}"
    tiny_models.write_fraud(tmp_path / "source", recipe="other")
    tiny_models.register(other, "fraud", tmp_path / "source")
    for ref in (REF, ModelRef.parse("fraud")):
        assert fetch(ref, tracking_uri=other, cache=tmp_path / "cache").card.recipe == "other"
    assert fetch(REF, tracking_uri=store, cache=tmp_path / "cache") == first


def test_a_damaged_copy_is_refused_on_the_next_fetch(store: str, tmp_path: Path) -> None:
    model = fetch(REF, tracking_uri=store, cache=tmp_path)
    with (model.path / MODEL_FILE).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArtifactRefused, match=r"model fraud/1 refused: model.onnx has sha256"):
        fetch(REF, tracking_uri=store, cache=tmp_path)


@pytest.mark.parametrize("ref", ["nothing", "fraud@challenger", "fraud/9"])
def test_what_is_not_registered_is_not_found(store: str, tmp_path: Path, ref: str) -> None:
    with pytest.raises(ModelNotFound, match="models list"):
        fetch(ModelRef.parse(ref), tracking_uri=store, cache=tmp_path)


def test_no_store_yet_is_not_found_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="drillyard train"):
        fetch(ModelRef.parse("fraud"), tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}", cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_registry_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ServiceUnreachable, match=r"127\.0\.0\.1:9"):
        fetch(ModelRef.parse("fraud"), tracking_uri="http://127.0.0.1:9", cache=tmp_path)


def test_a_version_whose_files_are_gone_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    tiny_models.write_fraud(tmp_path / "source")
    (tmp_path / "source" / SAMPLES_FILE).unlink()
    tiny_models.register(uri, "fraud", tmp_path / "source")
    with pytest.raises(ArtifactRefused, match=r"samples.npz cannot be had"):
        fetch(ModelRef.parse("fraud"), tracking_uri=uri, cache=tmp_path / "cache")
    assert list((tmp_path / "cache" / "fraud").iterdir()) == []


def rewrite_card(folder: Path, **changes: Any) -> None:
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps(card | changes))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / CARD_FILE).unlink(), "no file card.json"),
        (lambda folder: (folder / CARD_FILE).write_text("{}"), "not a model card"),
        (lambda folder: rewrite_card(folder, version=2), "its card is for fraud/2"),
        (lambda folder: rewrite_card(folder, name="vision"), "its card is for vision/1"),
        (lambda folder: rewrite_card(folder, onnx_sha256="0"), "its card says 0"),
        (lambda folder: (folder / SAMPLES_FILE).write_bytes(b""), "samples.npz has sha256"),
    ],
)
def test_a_folder_that_is_not_its_cards_is_refused(tmp_path: Path, damage: Callable[[Path], Any], words: str) -> None:
    tiny_models.write_fraud(tmp_path)
    damage(tmp_path)
    with pytest.raises(ArtifactRefused, match=words):
        verify(tmp_path, REF)


@pytest.mark.parametrize(
    "inputs",
    [
        (TensorSpec(name="feature", dtype="FP32", shape=(-1, 29)),),
        (TensorSpec(name="features", dtype="FP64", shape=(-1, 29)),),
        (TensorSpec(name="features", dtype="FP32", shape=(-1, 30)),),
    ],
)
def test_a_signature_that_is_not_the_cards_is_refused(tmp_path: Path, inputs: tuple[TensorSpec, ...]) -> None:
    card = tiny_models.write_fraud(tmp_path, inputs=inputs)
    with pytest.raises(ArtifactRefused, match=r"the inputs of model.onnx are"):
        Predictor(LocalModel(path=tmp_path, card=card), threads=1)


def test_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    specs = {key: (TensorSpec(name=key[0], dtype="FP32", shape=(1, 2)),) for key in ("x", "y")}
    card = tiny_models.write_fraud(tmp_path, inputs=specs["x"], outputs=specs["y"])
    (tmp_path / MODEL_FILE).write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactRefused, match="must be the batch, -1"):
        Predictor(LocalModel(path=tmp_path, card=card), threads=1)


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    """External data could name any file of the server; a graph from bytes has no folder to find one in."""
    (tmp_path / "secret").write_bytes(bytes(range(8)))
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "../secret"), ("offset", "0"), ("length", "8")):
        weight.external_data.add(key=key, value=value)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / MODEL_FILE).write_bytes(model.SerializeToString())
    for location in ("../secret", "secret", str(tmp_path / "secret")):
        weight.external_data[0].value = location
        model.graph.initializer[0].CopyFrom(weight)
        (folder / MODEL_FILE).write_bytes(model.SerializeToString())
        with pytest.raises(ArtifactRefused, match="cannot be loaded"):
            open_session(folder / MODEL_FILE, threads=1, ref=REF)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    assert onnx  # the helper above needs it; the server itself does not import it
    (tmp_path / MODEL_FILE).write_bytes(b"no graph")
    with pytest.raises(ArtifactRefused, match="cannot be loaded"):
        open_session(tmp_path / MODEL_FILE, threads=1, ref=REF)
