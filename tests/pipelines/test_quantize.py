"""int8: real 8-bit convolutions, near the exact answers, and refused when it costs too much."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from drillyard.core.errors import GateRefused
from drillyard.core.settings import Settings
from pipelines import export, pipeline, quantize, system
from pipelines.graph import predictor
from pipelines.runfolder import RunFolder


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory):
    recipe = system.get("vision").recipe("smoke")
    data = system.get("vision").load(recipe.dataset, Settings.from_env({}))
    torch.manual_seed(0)
    model = recipe.model.build(data.labels)
    model.prepare(data.fit)
    path = tmp_path_factory.mktemp("exact") / "model.onnx"
    export.export(model.eval().serving(), recipe.model.spec(data.labels), path)
    return recipe, data, path


def test_quantised_graph_is_int8_inside_and_near_outside(exact, tmp_path: Path) -> None:
    _, data, path = exact
    quantize.quantize(path, tmp_path / "int8.onnx", data.train.inputs)
    operators = [node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node]
    assert operators.count("QuantizeLinear") >= 3
    assert "Resize" in operators  # pre-processing is still inside, and exact
    rows = {"image": data.validation.inputs["image"][:50]}
    before, after = predictor(path)(rows)["scores"], predictor(tmp_path / "int8.onnx")(rows)["scores"]
    np.testing.assert_allclose(after, before, atol=0.05)
    assert not np.array_equal(after, before)


def test_speed_ratio_compares_the_two_files(exact) -> None:
    _, data, path = exact
    ratio = quantize.speed_ratio(path, path, data.validation.inputs, batch=1, rounds=5)
    assert ratio.low <= ratio.median <= ratio.high
    assert 0.2 < ratio.median < 5  # the same file on both sides
    assert str(ratio).endswith("5 rounds)")


def test_a_costly_quantisation_is_not_registered(exact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, data, path = exact
    folder = RunFolder.create(tmp_path, replace(recipe, int8=True))
    folder.onnx.write_bytes(path.read_bytes())
    monkeypatch.setattr(quantize, "MAX_LOSS", -1.0)  # nothing is that good
    with pytest.raises(GateRefused, match=r"int8 costs .* of accuracy on validation"):
        pipeline._quantized(recipe, system.get("vision"), data, folder)
