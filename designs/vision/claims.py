"""What can be computed or timed of the image networks without training. Imports torch: only `collect` loads this."""

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import orjson

from pipelines import sizes
from pipelines.system import Recipe
from pipelines.vision import recipes
from pipelines.vision.data import FASHION_LABELS

SIDE = 28  # of a Fashion-MNIST image
ROWS = 32  # of a batch: the server's largest
CALIBRATION = 512  # images that the quantiser looks at


def base_parameters() -> float:
    """Weights."""
    return _parameters(recipes.base())


def small_parameters() -> float:
    """Weights."""
    return _parameters(recipes.small())


def deep_parameters() -> float:
    """Weights."""
    return _parameters(recipes.deep())


def cifar_parameters() -> float:
    """Weights."""
    return _parameters(recipes.cifar())


def large_parameters() -> float:
    """Weights."""
    return _parameters(recipes.cifar_large())


def base_multiply_adds() -> float:
    """Arithmetic of one image."""
    return _multiply_adds(recipes.base())


def small_multiply_adds() -> float:
    """Arithmetic of one image."""
    return _multiply_adds(recipes.small())


def deep_multiply_adds() -> float:
    """Arithmetic of one image."""
    return _multiply_adds(recipes.deep())


def coarse_multiply_adds() -> float:
    """Arithmetic of one image."""
    return _multiply_adds(recipes.coarse())


def cifar_multiply_adds() -> float:
    """Arithmetic of one image."""
    return _multiply_adds(recipes.cifar())


def base_graph_bytes() -> float:
    """Weights and constants in the exported graph."""
    return float(sizes.weight_bytes(_graph("base")))


def int8_graph_bytes() -> float:
    """The same, quantised."""
    return float(sizes.weight_bytes(_graph("base-int8")))


def image_json_bytes() -> float:
    """Body of a request with one image, its pixels as numbers in JSON."""
    data = {"data": sizes.images(1, SIDE)["image"].reshape(-1)}
    return float(len(_json(data)))


def image_binary_bytes() -> float:
    """JSON header and raw pixels."""
    size = SIDE * SIDE * 3
    return float(len(_json({"parameters": {"binary_data_size": size}})) + size)


def batch_speedup(rounds: int) -> list[float]:
    """CPU time an image: one image a call over 32 images a call."""
    path, one, many = _graph("base"), sizes.images(1, SIDE), sizes.images(ROWS, SIDE)
    return [ROWS * ratio for ratio in sizes.cpu_ratios((path, one), (path, many), rounds)]


def small_speedup(rounds: int) -> list[float]:
    """CPU time of the base network over the narrower one."""
    return _speedup("small", rounds)


def deep_speedup(rounds: int) -> list[float]:
    """CPU time of the base network over the deeper one."""
    return _speedup("deep", rounds)


def coarse_speedup(rounds: int) -> list[float]:
    """CPU time of the base network over the one for smaller images."""
    return _speedup("coarse", rounds)


def int8_speedup(rounds: int) -> list[float]:
    """CPU time of the base network over its quantised copy."""
    return _speedup("base-int8", rounds)


def _speedup(name: str, rounds: int) -> list[float]:
    rows = sizes.images(ROWS, SIDE)
    return sizes.cpu_ratios((_graph("base"), rows), (_graph(name), rows), rounds)


@cache
def _graph(name: str) -> Path:
    """The recipe's exported graph, made once a process."""
    folder = Path(_folder().name)
    return sizes.export_untrained(recipes.RECIPES[name](), FASHION_LABELS, sizes.images(CALIBRATION, SIDE), folder)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def _parameters(recipe: Recipe) -> float:
    return float(sizes.parameters(recipe, FASHION_LABELS))


def _multiply_adds(recipe: Recipe) -> float:
    return float(sizes.multiply_adds(recipe, FASHION_LABELS, sizes.images(1, SIDE)))


def _json(fields: Mapping[str, object]) -> bytes:
    tensor = {"name": "image", "shape": [1, SIDE, SIDE, 3], "datatype": np.dtype(np.uint8).name.upper(), **fields}
    return orjson.dumps({"inputs": [tensor]}, option=orjson.OPT_SERIALIZE_NUMPY)
