"""Open Inference Protocol v2, REST with JSON: bytes to arrays and back, and the metadata documents.

Specification: https://github.com/open-inference/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from drillyard.core.contract import ModelCard, TensorSpec
from serving.protocol.errors import RequestError, shown
from serving.protocol.tensors import Array, checked_shape, to_array

SERVER_NAME = "drillyard"
EXTENSIONS: tuple[str, ...] = ()  # of the protocol; the binary tensor extension will be named here


@dataclass(frozen=True, kw_only=True, slots=True)
class InferRequest:
    """One decoded request: `inputs` by tensor name with equal first dimension, `outputs` the names to answer with."""

    id: str | None
    inputs: dict[str, Array]
    outputs: tuple[str, ...]

    @property
    def rows(self) -> int:
        return int(next(iter(self.inputs.values())).shape[0])


def decode_infer_request(body: bytes, card: ModelCard, *, max_rows: int) -> InferRequest:
    """A request body as arrays that the model accepts without further checks. Raises RequestError."""
    document = parse_object(body)
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise RequestError(400, f"id={shown(request_id)} is not valid; expected a string")
    _refuse_binary(document.get("parameters"), "parameters")
    inputs = _inputs(document.get("inputs"), card.inputs, max_rows)
    return InferRequest(id=request_id, inputs=inputs, outputs=_outputs(document.get("outputs"), card.outputs))


def encode_infer_response(card: ModelCard, request_id: str | None, outputs: dict[str, Array]) -> bytes:
    """The response body; data is flat in row-major order. Raises RequestError (500) on an answer that is not finite."""
    specs = {spec.name: spec for spec in card.outputs}
    tensors = []
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise RequestError(500, f"the model answered with a number that is not finite in output {name}")
        tensors.append(
            {
                "name": name,
                "datatype": specs[name].dtype,
                "shape": array.shape,
                "data": np.ascontiguousarray(array).reshape(-1),
            }
        )
    response: dict[str, Any] = {"model_name": card.name, "model_version": str(card.version), "outputs": tensors}
    if request_id is not None:
        response["id"] = request_id
    return orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)


def server_metadata(version: str) -> dict[str, Any]:
    """The answer to `GET /v2`."""
    return {"name": SERVER_NAME, "version": version, "extensions": list(EXTENSIONS)}


def model_metadata(card: ModelCard) -> dict[str, Any]:
    """The answer to `GET /v2/models/{name}`."""

    def tensor(spec: TensorSpec) -> dict[str, Any]:
        return {"name": spec.name, "datatype": spec.dtype, "shape": list(spec.shape)}

    return {
        "name": card.name,
        "versions": [str(card.version)],
        "platform": "onnx_onnxruntime",
        "inputs": [tensor(spec) for spec in card.inputs],
        "outputs": [tensor(spec) for spec in card.outputs],
    }


def parse_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object. Raises RequestError."""
    if not body:
        raise RequestError(400, "the body is empty; expected a JSON object")
    try:
        document = orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise RequestError(400, f"the body is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise RequestError(400, f"the body is a JSON {type(document).__name__}; expected a JSON object")
    return document


def _inputs(tensors: Any, specs: tuple[TensorSpec, ...], max_rows: int) -> dict[str, Array]:
    declared = {spec.name: spec for spec in specs}
    names = ", ".join(declared)
    if not isinstance(tensors, list) or not tensors:
        raise RequestError(400, f"inputs={shown(tensors)} is not valid; expected a list with the tensors {names}")
    arrays: dict[str, Array] = {}
    for index, tensor in enumerate(tensors):
        if not isinstance(tensor, dict):
            raise RequestError(400, f"inputs[{index}]={shown(tensor)} is not valid; expected an object")
        name = tensor.get("name")
        spec = declared.get(name) if isinstance(name, str) else None
        if spec is None:
            raise RequestError(400, f"inputs[{index}].name={shown(name)} is not valid; expected one of {names}")
        if spec.name in arrays:
            raise RequestError(400, f"inputs[{index}].name={shown(name)} is there twice; expected each tensor once")
        if tensor.get("datatype") != spec.dtype:
            given = shown(tensor.get("datatype"))
            raise RequestError(400, f"inputs[{name}].datatype={given} is not valid; expected {spec.dtype}")
        _refuse_binary(tensor.get("parameters"), f"inputs[{name}].parameters")
        shape = checked_shape(spec, tensor.get("shape"), max_rows)
        if "data" not in tensor:
            raise RequestError(400, f"inputs[{name}].data is missing; expected a list of {spec.dtype} values")
        arrays[spec.name] = to_array(spec, tensor["data"], shape)
    missing = [name for name in declared if name not in arrays]
    if missing:
        raise RequestError(400, f"inputs[{missing[0]}] is missing; expected the tensors {names}")
    if len({array.shape[0] for array in arrays.values()}) != 1:
        raise RequestError(400, f"the inputs {names} differ in their first dimension; expected one batch size")
    return arrays


def _outputs(wanted: Any, specs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
    """The outputs to answer with, in the order asked for; all when none is asked for."""
    declared = [spec.name for spec in specs]
    if wanted is None or wanted == []:
        return tuple(declared)
    if not isinstance(wanted, list):
        raise RequestError(400, f"outputs={shown(wanted)} is not valid; expected a list of objects with a name")
    names: list[str] = []
    for index, entry in enumerate(wanted):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name not in declared:
            given = shown(name if isinstance(entry, dict) else entry)
            raise RequestError(
                400, f"outputs[{index}].name={given} is not valid; expected one of {', '.join(declared)}"
            )
        _refuse_binary(entry.get("parameters"), f"outputs[{name}].parameters")
        if name not in names:
            names.append(name)
    return tuple(names)


def _refuse_binary(parameters: Any, field: str) -> None:
    """Parameters are free, but those that ask for the binary extension must not be ignored silently."""
    if parameters is None:
        return
    if not isinstance(parameters, dict):
        raise RequestError(400, f"{field}={shown(parameters)} is not valid; expected an object")
    for key in ("binary_data", "binary_data_output", "binary_data_size"):
        if parameters.get(key):
            raise RequestError(
                400, f"{field}.{key}={shown(parameters[key])} is not valid; this server speaks JSON only"
            )
