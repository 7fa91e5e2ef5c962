"""What a recipe's network is, before any training: weights, arithmetic, the exported file."""

import time
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch.utils.flop_counter import FlopCounterMode

from pipelines import export, quantize
from pipelines.graph import predictor
from pipelines.system import Arrays, Predict, Recipe, TrainableModel

LEAST_CPU_S = 0.1  # of one timing: much longer than a tick of the clock


def parameters(recipe: Recipe, labels: tuple[str, ...]) -> int:
    """Weights of the network, constants that training does not touch included."""
    return sum(weight.numel() for weight in _untrained(recipe, labels).parameters())


def multiply_adds(recipe: Recipe, labels: tuple[str, ...], row: Arrays) -> int:
    """Multiplications with addition in convolutions and matrix products that answering one row takes."""
    served = _untrained(recipe, labels).serving().eval()
    inputs = [torch.from_numpy(row[tensor.name]) for tensor in recipe.model.spec(labels).inputs]
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        served(*inputs)
    return int(counter.get_total_flops()) // 2


def export_untrained(recipe: Recipe, labels: tuple[str, ...], rows: Arrays, folder: Path) -> Path:
    """The recipe's graph with fresh weights, quantised if it says so: as large and as fast as a trained one."""
    path = folder / f"{recipe.name}.onnx"
    model = _untrained(recipe, labels)
    model.prepare(rows)
    export.export(model.serving(), recipe.model.spec(labels), path)
    if not recipe.int8:
        return path
    target = folder / f"{recipe.name}-quantised.onnx"
    quantize.quantize(path, target, rows)
    return target


def weight_bytes(graph: Path) -> int:
    """Bytes of the constants in an exported graph; the file also holds names and places of code, which differ."""
    return sum(numpy_helper.to_array(tensor).nbytes for tensor in onnx.load(graph).graph.initializer)


def cpu_ratios(slow: tuple[Path, Arrays], fast: tuple[Path, Arrays], rounds: int) -> list[float]:
    """CPU time of one graph's call over another's, each on its rows, alternating, one thread each.

    CPU time, since it says what an answer costs, and a busy machine disturbs it less than a clock.
    """
    calls = [(predictor(path, threads=1), rows) for path, rows in (slow, fast)]
    for predict, rows in calls:
        _cpu_seconds(predict, rows)  # warms up
    return [_cpu_seconds(*calls[0]) / _cpu_seconds(*calls[1]) for _ in range(rounds)]


def _cpu_seconds(predict: Predict, rows: Arrays) -> float:
    count, started = 0, time.process_time()
    while (spent := time.process_time() - started) < LEAST_CPU_S:
        predict(rows)
        count += 1
    return spent / count


def images(count: int, side: int) -> Arrays:
    """Noise as pictures: (count, side, side, 3) uint8."""
    return {"image": np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)}


def _untrained(recipe: Recipe, labels: tuple[str, ...]) -> TrainableModel:
    torch.manual_seed(0)
    return recipe.model.build(labels).eval()
