"""Only the file its card describes is served, and a cached version needs no registry."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from drillyard.cli.app import app
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


def test_the_command_copies_the_verified_files(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("DRILLYARD_HOME", str(tmp_path / "home"))
    target = tmp_path / "there" / "samples"
    for _ in range(2):  # a pod that starts again finds its folder
        result = CliRunner().invoke(app, ["models", "fetch", "fraud@champion", str(target)])
        assert result.exit_code == 0, result.output
        assert verify(target, REF).ref == REF
    assert "fraud/1" in result.output


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


def external_tensor(location: str) -> TensorProto:
    """Two floats that lie at the start of that file."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "8")):
        weight.external_data.add(key=key, value=value)
    return weight


def as_initializer(weight: TensorProto) -> onnx.ModelProto:
    return small_model([helper.make_node("Add", ["x", "w"], ["y"])], [weight])


def as_constant(weight: TensorProto) -> onnx.ModelProto:
    constant = helper.make_node("Constant", [], ["w"], value=weight)
    return small_model([constant, helper.make_node("Add", ["x", "w"], ["y"])])


def in_a_subgraph(weight: TensorProto) -> onnx.ModelProto:
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Add", ["x", "w"], ["z"])], "branch", [], [z], [weight])
    yes = helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True]))
    return small_model([yes, helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)])


def in_a_function(weight: TensorProto) -> onnx.ModelProto:
    opset = helper.make_opsetid("", 20)
    body = [helper.make_node("Constant", [], ["w"], value=weight), helper.make_node("Add", ["a", "w"], ["b"])]
    model = small_model([helper.make_node("Plus", ["x"], ["y"], domain="own")])
    model.functions.append(helper.make_function("own", "Plus", ["a"], ["b"], body, [opset]))
    model.opset_import.append(helper.make_opsetid("own", 1))
    return model


def sparse(weight: TensorProto) -> onnx.ModelProto:
    model = small_model([helper.make_node("Add", ["x", "w"], ["y"])])
    indices = helper.make_tensor("i", TensorProto.INT64, [2], [0, 1])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(weight, indices, [2]))
    return model


def small_model(nodes: list[Any], weights: list[TensorProto] | None = None) -> onnx.ModelProto:
    """x FP32 (batch, 2) -> y FP32 (batch, 2)."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])
    graph = helper.make_graph(nodes, "g", [x], [y], weights or [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("place", [as_initializer, as_constant, in_a_subgraph, in_a_function, sparse])
def test_weights_in_other_files_are_refused_before_onnxruntime_sees_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Callable[[TensorProto], onnx.ModelProto]
) -> None:
    """External data could name any file of the server, wherever in the graph the tensor stands."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in (tmp_path / "secret", folder / "weights"):
        file.write_bytes(bytes(range(8)))
    monkeypatch.chdir(folder)
    monkeypatch.setattr("serving.graph.onnxruntime", None)  # to open a session would now be an AttributeError
    for location in ("../secret", "weights", str(tmp_path / "secret"), ""):
        (folder / MODEL_FILE).write_bytes(place(external_tensor(location)).SerializeToString())
        with pytest.raises(ArtifactRefused, match="keeps tensor 'w' in another file"):
            open_session(folder / MODEL_FILE, threads=1, ref=REF)


def test_a_tensor_that_only_names_a_file_is_refused_too(tmp_path: Path) -> None:
    """Its data location says otherwise, and it is not for us to guess what a later onnxruntime believes."""
    weight = external_tensor("weights")
    weight.data_location = TensorProto.DEFAULT
    (tmp_path / MODEL_FILE).write_bytes(as_initializer(weight).SerializeToString())
    with pytest.raises(ArtifactRefused, match="in another file"):
        open_session(tmp_path / MODEL_FILE, threads=1, ref=REF)


def test_a_graph_that_holds_its_weights_is_opened(tmp_path: Path) -> None:
    for place in (as_initializer, as_constant, in_a_subgraph, in_a_function):
        weight = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
        (tmp_path / MODEL_FILE).write_bytes(place(weight).SerializeToString())
        session = open_session(tmp_path / MODEL_FILE, threads=1, ref=REF)
        assert session.run(None, {"x": np.zeros((1, 2), dtype=np.float32)})[0].tolist() == [[1.0, 2.0]]


def test_a_refused_graph_never_enters_the_cache(tmp_path: Path) -> None:
    """The hash is right: whoever may register a version also writes its card."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    source, cache = tmp_path / "source", tmp_path / "cache"
    tiny_models.write_fraud(source)
    (source / MODEL_FILE).write_bytes(as_initializer(external_tensor("samples.npz")).SerializeToString())
    rewrite_card(source, onnx_sha256=hashlib.sha256((source / MODEL_FILE).read_bytes()).hexdigest())
    tiny_models.register(uri, "fraud", source)
    with pytest.raises(ArtifactRefused, match="in another file"):
        fetch(ModelRef.parse("fraud"), tracking_uri=uri, cache=cache)
    assert list((cache / "fraud").iterdir()) == []


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.mkdir, (self.target,)


def test_a_pickle_among_the_samples_is_not_loaded(tmp_path: Path) -> None:
    target = tmp_path / "made-by-a-pickle"
    tiny_models.write_fraud(tmp_path / "1")
    np.savez(tmp_path / "1" / SAMPLES_FILE, allow_pickle=True, **{"input.features": np.array([Bomb(target)])})
    rewrite_card(
        tmp_path / "1", samples_sha256=hashlib.sha256((tmp_path / "1" / SAMPLES_FILE).read_bytes()).hexdigest()
    )
    with pytest.raises(ArtifactRefused, match=r"samples\.npz cannot be read.*allow_pickle=False"):
        Predictor(verify(tmp_path / "1", REF), threads=1)
    assert not target.exists()
    with np.load(tmp_path / "1" / SAMPLES_FILE, allow_pickle=True) as samples:
        samples["input.features"]  # the bomb is a real one
    assert target.exists()


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / MODEL_FILE).write_bytes(b"no graph")
    with pytest.raises(ArtifactRefused, match="cannot be loaded"):
        open_session(tmp_path / MODEL_FILE, threads=1, ref=REF)
