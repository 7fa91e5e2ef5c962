"""Export: a free batch size stays free, and a graph that answers otherwise is not let through."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from drillyard.core.contract import TensorSpec
from drillyard.core.errors import ParityError
from drillyard.core.settings import Settings
from pipelines import export, system
from pipelines.graph import predictor
from pipelines.system import ModelSpec, Split

SPEC = ModelSpec(
    task="anomaly-detection",
    inputs=(TensorSpec(name="features", dtype="FP32", shape=(-1, 3)),),
    outputs=(
        TensorSpec(name="score", dtype="FP32", shape=(-1,)),
        TensorSpec(name="is_fraud", dtype="BOOL", shape=(-1,)),
    ),
    parity_tolerance=1e-4,
    parity_reason="test",
)


class Sum(torch.nn.Module):
    def __init__(self, offset: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("offset", torch.tensor(offset))

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        score = features.sum(dim=1) + self.offset
        return score, score > 0


def rows(count: int = 80) -> Split:
    features = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    return Split(inputs={"features": features}, truth=np.zeros(count, bool))


def test_parity_holds_and_names_the_worst_difference(tmp_path: Path) -> None:
    export.export(Sum(), SPEC, tmp_path / "m.onnx")
    parity = export.check_parity(Sum(), tmp_path / "m.onnx", SPEC, rows())
    assert parity.samples == 80
    assert parity.max_abs_difference <= 1e-6


def test_another_functions_graph_is_refused(tmp_path: Path) -> None:
    export.export(Sum(offset=0.01), SPEC, tmp_path / "m.onnx")
    with pytest.raises(ParityError, match=r"score on all rows: ONNX differs from torch by 0\.01"):
        export.check_parity(Sum(), tmp_path / "m.onnx", SPEC, rows())


def test_flipped_decisions_are_counted(tmp_path: Path) -> None:
    from dataclasses import replace

    export.export(Sum(offset=0.5), SPEC, tmp_path / "m.onnx")
    lenient = replace(SPEC, parity_tolerance=1.0)
    with pytest.raises(ParityError, match=r"is_fraud on all rows: \d+ of 80 decisions differ"):
        export.check_parity(Sum(), tmp_path / "m.onnx", lenient, rows())


def test_a_graph_with_a_fixed_batch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_dynamic", lambda tensor: {})  # what a careless exporter call does
    with pytest.raises(ParityError, match=r"features\(3, 3\), the contract features\(-1, 3\)"):
        export.export(Sum(), SPEC, tmp_path / "m.onnx")


@pytest.mark.parametrize("name", ["vision", "fraud"])
@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_real_systems_answer_alike_at_every_batch_size(
    name: str, batch: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, served, data, spec = exported(name, tmp_path_factory)
    part = {key: values[:batch] for key, values in data.test.inputs.items()}
    found = predictor(path)(part)
    with torch.no_grad():
        expected = served(*(torch.from_numpy(part[tensor.name]) for tensor in spec.inputs))
    for tensor, value in zip(spec.outputs, expected, strict=True):
        np.testing.assert_allclose(found[tensor.name], value.numpy(), atol=spec.parity_tolerance)


@pytest.mark.parametrize("height_width", [(8, 8), (31, 47), (64, 20), (1, 1)])
def test_vision_takes_any_height_and_width(
    height_width: tuple[int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, served, _, _ = exported("vision", tmp_path_factory)
    image = np.random.default_rng(0).integers(0, 256, (3, *height_width, 3), dtype=np.uint8)
    scores, label = ort.InferenceSession(str(path)).run(["scores", "label"], {"image": image})
    with torch.no_grad():
        expected, _ = served(torch.from_numpy(image))
    np.testing.assert_allclose(scores, expected.numpy(), atol=1e-4)
    assert label.tolist() == scores.argmax(axis=1).tolist()


_EXPORTED: dict[str, tuple] = {}


def exported(name: str, factory: pytest.TempPathFactory) -> tuple:
    """Exporting takes seconds, so each system's untrained model is exported once a session."""
    if name not in _EXPORTED:
        recipe = system.get(name).recipe("smoke")
        data = system.get(name).load(recipe.dataset, Settings.from_env({}))
        torch.manual_seed(0)
        model = recipe.model.build(data.labels)
        model.prepare(data.fit)
        model.eval().finalise(data.fit)
        served, spec = model.serving().eval(), recipe.model.spec(data.labels)
        path = factory.mktemp(name) / "model.onnx"
        export.export(served, spec, path)
        _EXPORTED[name] = (path, served, data, spec)
    return _EXPORTED[name]
