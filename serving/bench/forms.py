"""The forms of a request: rows by input name as JSON, the open inference protocol's JSON, its binary extension."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from serving.bench.workload import Arrays, Form

_DTYPES: dict[str, type[Any]] = {"FP32": np.float32, "FP64": np.float64, "UINT8": np.uint8, "INT64": np.int64}
_DTYPES |= {"BOOL": np.bool_}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_JSON = {"Content-Type": "application/json"}
_HEADER_LENGTH = "Inference-Header-Content-Length"


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _natural(inputs: Arrays) -> tuple[dict[str, str], bytes]:
    return _JSON, _dumps(dict(inputs))


def _read_natural(_: Mapping[str, str], body: bytes) -> Arrays:
    return {name: np.asarray(value) for name, value in orjson.loads(body).items()}


def _protocol(inputs: Arrays) -> tuple[dict[str, str], bytes]:
    tensors = [{**_described(name, array), "data": array.reshape(-1)} for name, array in inputs.items()]
    return _JSON, _dumps({"inputs": tensors})


def _read_protocol(_: Mapping[str, str], body: bytes) -> Arrays:
    return {each["name"]: np.asarray(each["data"]) for each in orjson.loads(body)["outputs"]}


def _binary(inputs: Arrays) -> tuple[dict[str, str], bytes]:
    tensors = [
        {**_described(name, array), "parameters": {"binary_data_size": array.nbytes}} for name, array in inputs.items()
    ]
    head = _dumps({"inputs": tensors, "parameters": {"binary_data_output": True}})
    headers = {"Content-Type": "application/octet-stream", _HEADER_LENGTH: str(len(head))}
    return headers, head + b"".join(np.ascontiguousarray(array).tobytes() for array in inputs.values())


def _read_binary(headers: Mapping[str, str], body: bytes) -> Arrays:
    start = int(headers[_HEADER_LENGTH.lower()])
    outputs = {}
    for each in orjson.loads(body[:start])["outputs"]:
        end = start + each["parameters"]["binary_data_size"]
        outputs[each["name"]] = np.frombuffer(body[start:end], dtype=_DTYPES[each["datatype"]])
        start = end
    return outputs


def _described(name: str, array: Any) -> dict[str, Any]:
    return {"name": name, "shape": array.shape, "datatype": _NAMES[array.dtype]}


NATURAL = Form(name="JSON, rows by input name", encode=_natural, decode=_read_natural)
PROTOCOL = Form(name="open inference protocol, JSON", encode=_protocol, decode=_read_protocol)
BINARY = Form(name="open inference protocol, binary tensors", encode=_binary, decode=_read_binary)
