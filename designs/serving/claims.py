"""What can be computed or timed of the serving tier without a server. Only `collect` loads this."""

import time
from collections.abc import Mapping

import numpy as np
import orjson

from drillyard.core.contract import ModelCard, TensorSpec
from serving.protocol.v2 import decode_infer_request
from serving.recipes import Batching, ServeConfig, laptop

ROWS, FEATURES = 64, 29
LEAST_CPU_S = 0.1  # of one timing

_INPUT = TensorSpec(name="features", dtype="FP32", shape=(-1, FEATURES))
_OUTPUT = TensorSpec(name="score", dtype="FP32", shape=(-1,))
# Decoding looks at the tensors only; the rest of a card comes from training.
_CARD = ModelCard.model_construct(inputs=(_INPUT,), outputs=(_OUTPUT,))


def rows_json_bytes() -> float:
    """Body of a request of 64 rows, as JSON."""
    return float(len(_json_body()))


def rows_binary_bytes() -> float:
    """Body of the same request with raw bytes."""
    return float(len(_binary_body()[0]))


def decode_speedup(rounds: int) -> list[float]:
    """CPU time of decoding the JSON body over that of the binary one."""
    binary, header = _binary_body()
    bodies = [(_json_body(), None), (binary, header)]
    for body, length in bodies:
        _cpu_seconds(body, length)  # warms up
    return [_cpu_seconds(*bodies[0]) / _cpu_seconds(*bodies[1]) for _ in range(rounds)]


def queue_timeout_ms() -> float:
    """As the laptop recipe has it."""
    return _config().queue_timeout_s * 1e3


def answer_timeout_s() -> float:
    """As the laptop recipe has it."""
    return _config().answer_timeout_s


def offload_ms() -> float:
    """As every recipe has it."""
    return Batching().offload_s * 1e3


def _config() -> ServeConfig:
    return laptop("model")


def _cpu_seconds(body: bytes, json_bytes: int | None) -> float:
    count, started = 0, time.process_time()
    while (spent := time.process_time() - started) < LEAST_CPU_S:
        decode_infer_request(body, _CARD, max_rows=ROWS, json_bytes=json_bytes)
        count += 1
    return spent / count


def _json_body() -> bytes:
    return _json({"data": _rows().reshape(-1)})


def _binary_body() -> tuple[bytes, int]:
    rows = _rows()
    header = _json({"parameters": {"binary_data_size": rows.nbytes}})
    return header + rows.tobytes(), len(header)


def _json(fields: Mapping[str, object]) -> bytes:
    tensor = {"name": _INPUT.name, "shape": [ROWS, FEATURES], "datatype": _INPUT.dtype, **fields}
    return orjson.dumps({"inputs": [tensor]}, option=orjson.OPT_SERIALIZE_NUMPY)


def _rows() -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    return np.random.default_rng(0).normal(size=(ROWS, FEATURES)).astype(np.float32)
