"""What can be computed or timed of the fraud networks without training. Imports torch: only `collect` loads it."""

import tempfile
from functools import cache
from pathlib import Path

import orjson

from pipelines import sizes
from pipelines.fraud.cost import REVIEW_FEE
from pipelines.fraud.data import FEATURES, synthetic
from pipelines.fraud.recipes import RECIPES, base, large
from pipelines.system import Arrays

ROWS = 64  # of a request that asks for many at once


def features_count() -> float:
    """Columns of a row."""
    return float(len(FEATURES))


def review_fee_eur() -> float:
    """What a review costs where thresholds are chosen."""
    return REVIEW_FEE


def parameters_base() -> float:
    """Weights of the base recipe."""
    return float(sizes.parameters(base(), FEATURES))


def parameters_large() -> float:
    """Weights of the large recipe."""
    return float(sizes.parameters(large(), FEATURES))


def multiply_adds_base() -> float:
    """Arithmetic of one row."""
    return float(sizes.multiply_adds(base(), FEATURES, _rows(1)))


def multiply_adds_large() -> float:
    """Arithmetic of one row."""
    return float(sizes.multiply_adds(large(), FEATURES, _rows(1)))


def graph_bytes() -> float:
    """Weights and constants in the exported base graph."""
    return float(sizes.weight_bytes(_graph("base")))


def request_json_bytes() -> float:
    """Body of an inference request of one row, as JSON."""
    rows = _rows(1)["features"]
    tensor = {"name": "features", "shape": list(rows.shape), "datatype": "FP32", "data": rows.reshape(-1)}
    return float(len(orjson.dumps({"inputs": [tensor]}, option=orjson.OPT_SERIALIZE_NUMPY)))


def row_binary_bytes() -> float:
    """The same row as raw FP32."""
    return float(_rows(1)["features"].nbytes)


def batch_speedup(rounds: int) -> list[float]:
    """CPU time a row in ONNX Runtime: one row a call over 64 rows a call."""
    path = _graph("base")
    return [ROWS * ratio for ratio in sizes.cpu_ratios((path, _rows(1)), (path, _rows(ROWS)), rounds)]


def large_cost(rounds: int) -> list[float]:
    """CPU time of 64 rows in ONNX Runtime: the large network over the base network."""
    return sizes.cpu_ratios((_graph("large"), _rows(ROWS)), (_graph("base"), _rows(ROWS)), rounds)


def _rows(count: int) -> Arrays:
    return {"features": synthetic().features[:count]}


@cache
def _graph(name: str) -> Path:
    """The recipe's exported graph, made once a process."""
    return sizes.export_untrained(RECIPES[name](), FEATURES, _rows(2000), Path(_folder().name))


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()
