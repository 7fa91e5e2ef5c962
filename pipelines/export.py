"""torch -> ONNX with pre- and post-processing inside the graph, and the proof that both answer alike."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch

from drillyard.core.contract import Parity, TensorSpec
from drillyard.core.errors import ParityError
from pipelines.graph import predictor
from pipelines.system import Arrays, ModelSpec, Split

OPSET = 20  # first with antialiased Resize in every shape inference we rely on
PARITY_SAMPLES = 1024
PARITY_BATCHES = (1, 2, 7, 64)  # exporters are known to fix the batch size; these sizes would show it

_TORCH = {"FP32": torch.float32, "FP64": torch.float64, "UINT8": torch.uint8, "INT64": torch.int64, "BOOL": torch.bool}


def export(served: torch.nn.Module, spec: ModelSpec, path: Path) -> None:
    """Write the served function as one self-contained ONNX file with every -1 of the spec a free dimension."""
    served.eval()
    examples = tuple(_example(tensor) for tensor in spec.inputs)
    shapes = tuple(_dynamic(tensor) for tensor in spec.inputs)
    with _quiet():
        torch.onnx.export(
            served,
            examples,
            path,
            dynamo=True,
            opset_version=OPSET,
            input_names=[tensor.name for tensor in spec.inputs],
            output_names=[tensor.name for tensor in spec.outputs],
            dynamic_shapes=shapes,
            external_data=False,
            verbose=False,
        )
    onnx.checker.check_model(path, full_check=True)
    _check_signature(path, spec)


def check_parity(served: torch.nn.Module, path: Path, spec: ModelSpec, sample: Split) -> Parity:
    """Compare torch and ONNX on real rows: equal decisions, floats within the spec's tolerance. Raises ParityError."""
    rows = {name: values[:PARITY_SAMPLES] for name, values in sample.inputs.items()}
    expected = _run_torch(served, spec, rows)
    predict = predictor(path)
    worst = _compare(expected, predict(rows), spec, "all rows")
    for size in PARITY_BATCHES:
        part = {name: values[:size] for name, values in rows.items()}
        wanted = {name: values[:size] for name, values in expected.items()}
        worst = max(worst, _compare(wanted, predict(part), spec, f"batch of {size}"))
    return Parity(
        samples=len(next(iter(rows.values()))),
        max_abs_difference=worst,
        tolerance=spec.parity_tolerance,
        reason=spec.parity_reason,
    )


def _compare(expected: Arrays, found: Arrays, spec: ModelSpec, where: str) -> float:
    worst = 0.0
    for tensor in spec.outputs:
        a, b = expected[tensor.name], found[tensor.name]
        if a.shape != b.shape:
            raise ParityError(f"output {tensor.name} on {where}: ONNX gives shape {b.shape}, torch {a.shape}")
        if tensor.dtype in ("FP32", "FP64"):
            difference = float(np.max(np.abs(a - b), initial=0.0))
            if not difference <= spec.parity_tolerance:
                raise ParityError(
                    f"output {tensor.name} on {where}: ONNX differs from torch by {difference:.3g}, "
                    f"more than the tolerance {spec.parity_tolerance:g}"
                )
            worst = max(worst, difference)
        elif not np.array_equal(a, b):
            raise ParityError(f"output {tensor.name} on {where}: {int((a != b).sum())} of {a.size} decisions differ")
    return worst


@torch.no_grad()
def _run_torch(served: torch.nn.Module, spec: ModelSpec, rows: Arrays) -> dict[str, np.ndarray[Any, Any]]:
    inputs = [torch.from_numpy(np.ascontiguousarray(rows[tensor.name])) for tensor in spec.inputs]
    parts = [served(*(values[start : start + 256] for values in inputs)) for start in range(0, len(inputs[0]), 256)]
    columns = [torch.cat(column).numpy() for column in zip(*parts, strict=True)]
    return {tensor.name: column for tensor, column in zip(spec.outputs, columns, strict=True)}


def _example(tensor: TensorSpec) -> torch.Tensor:
    # Distinct free sizes: with equal ones the exporter may conclude that two dimensions are the same.
    free = iter((3, 26, 30, 34))
    shape = [next(free) if size == -1 else size for size in tensor.shape]
    return torch.zeros(shape, dtype=_TORCH[tensor.dtype])


def _dynamic(tensor: TensorSpec) -> dict[int, Any]:
    names = iter(("batch", "height", "width", "depth"))
    return {axis: torch.export.Dim(next(names), min=1) for axis, size in enumerate(tensor.shape) if size == -1}


def _check_signature(path: Path, spec: ModelSpec) -> None:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for wanted, found in zip(
        (*spec.inputs, *spec.outputs), (*session.get_inputs(), *session.get_outputs()), strict=True
    ):
        shape = tuple(size if isinstance(size, int) else -1 for size in found.shape)
        if (found.name, shape) != (wanted.name, wanted.shape):
            raise ParityError(f"the exported graph has {found.name}{shape}, the contract {wanted.name}{wanted.shape}")


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter narrates its work in logs and warns of its own deprecations; neither is for our users."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
