"""Open Inference Protocol v2, REST: bytes to arrays and back, and the metadata documents.

Specification: https://github.com/open-inference/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from typing import Any, NamedTuple

import orjson

from drillyard.core.contract import ModelCard, TensorSpec
from serving.protocol import binary
from serving.protocol.errors import RequestError, shown
from serving.protocol.parameters import checked, flag
from serving.protocol.tensors import Array, checked_shape, is_finite, raw_to_array, to_array

SERVER_NAME = "drillyard"
EXTENSIONS = (binary.EXTENSION,)


class InferRequest(NamedTuple):  # made for each request: half of what a frozen dataclass costs
    """One decoded request: `inputs` by tensor name with equal first dimension, `outputs` the names to answer with.

    Those outputs that are also in `binary_outputs` are answered as raw bytes.
    """

    id: str | None
    inputs: dict[str, Array]
    outputs: tuple[str, ...]
    binary_outputs: frozenset[str] = frozenset()

    @property
    def rows(self) -> int:
        return int(next(iter(self.inputs.values())).shape[0])

    @property
    def input_bytes(self) -> int:
        """Of all inputs: what a call costs grows with it, also where a row may be of any size."""
        return sum([array.nbytes for array in self.inputs.values()])


def decode_infer_request(body: bytes, card: ModelCard, *, max_rows: int, json_bytes: int | None = None) -> InferRequest:
    """A request body as arrays that the model accepts without further checks. Raises RequestError.

    `json_bytes` is the length of the body's JSON when the request says that binary data follows it. Arrays are then
    views on the body wherever that can be (see tensors.raw_to_array).
    """
    tail = None if json_bytes is None else binary.Tail(body, json_bytes)
    document = parse_object(body if json_bytes is None else memoryview(body)[:json_bytes])
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise RequestError(400, f"id={shown(request_id)} is not valid; expected a string")
    inputs = _inputs(document.get("inputs"), card.inputs, max_rows, tail)
    if tail is not None:
        tail.finish()
    parameters = checked(document.get("parameters"), "parameters")
    all_binary = flag(parameters, "binary_data_output", "parameters", default=False)
    outputs, binary_outputs = _outputs(document.get("outputs"), card.outputs, all_binary)
    return InferRequest(id=request_id, inputs=inputs, outputs=outputs, binary_outputs=binary_outputs)


def encode_infer_response(
    card: ModelCard, request_id: str | None, outputs: dict[str, Array], binary_outputs: frozenset[str] = frozenset()
) -> tuple[bytes, int | None]:
    """The response body, and the length of its JSON when binary data follows it, else None.

    Data is flat in row-major order. Raises RequestError (500) on an answer that is not finite.
    """
    datatypes = {spec.name: spec.dtype for spec in card.outputs}
    tensors: list[dict[str, Any]] = []
    tail: list[memoryview] = []
    for name, array in outputs.items():
        flat = array.ravel()
        tensor: dict[str, Any] = {"name": name, "datatype": datatypes[name], "shape": array.shape}
        if name in binary_outputs:
            check_answer(name, array)
            tensor["parameters"] = {"binary_data_size": flat.nbytes}
            tail.append(flat.data)
        else:
            tensor["data"] = flat
        tensors.append(tensor)
    response: dict[str, Any] = {"model_name": card.name, "model_version": str(card.version), "outputs": tensors}
    if request_id is not None:
        response["id"] = request_id
    document = orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)
    if b"null" in document:  # what is not finite is written so; looking here costs less than at each array
        for name, array in outputs.items():
            check_answer(name, array)
    return (b"".join((document, *tail)), len(document)) if tail else (document, None)


def check_answer(name: str, array: Array) -> None:
    """Raises RequestError (500) when the model's output is not finite."""
    if array.dtype.kind == "f" and not is_finite(array):
        raise RequestError(500, f"the model answered with a number that is not finite in output {name}")


def server_metadata(version: str) -> dict[str, Any]:
    """The answer to `GET /v2`."""
    return {"name": SERVER_NAME, "version": version, "extensions": list(EXTENSIONS)}


def model_metadata(card: ModelCard, versions: tuple[int, ...]) -> dict[str, Any]:
    """The answer to `GET /v2/models/{name}`; `versions` are all that can be asked for."""

    def tensor(spec: TensorSpec) -> dict[str, Any]:
        return {"name": spec.name, "datatype": spec.dtype, "shape": list(spec.shape)}

    return {
        "name": card.name,
        "versions": [str(version) for version in versions],
        "platform": "onnx_onnxruntime",
        "inputs": [tensor(spec) for spec in card.inputs],
        "outputs": [tensor(spec) for spec in card.outputs],
    }


def parse_object(body: bytes | memoryview) -> dict[str, Any]:
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


def _inputs(tensors: Any, specs: tuple[TensorSpec, ...], max_rows: int, tail: binary.Tail | None) -> dict[str, Array]:
    declared = {spec.name: spec for spec in specs}
    if not isinstance(tensors, list) or not tensors:
        valid = f"a list with the tensors {', '.join(declared)}"
        raise RequestError(400, f"inputs={shown(tensors)} is not valid; expected {valid}")
    arrays: dict[str, Array] = {}
    for index, tensor in enumerate(tensors):
        if not isinstance(tensor, dict):
            raise RequestError(400, f"inputs[{index}]={shown(tensor)} is not valid; expected an object")
        spec = expected_tensor(declared, arrays, index, tensor.get("name"), tensor.get("datatype"))
        arrays[spec.name] = _data(spec, tensor, checked_shape(spec, tensor.get("shape"), max_rows), tail)
    check_together(arrays, declared)
    return arrays


def expected_tensor(
    declared: dict[str, TensorSpec], arrays: dict[str, Array], index: int, name: Any, datatype: Any
) -> TensorSpec:
    """What the model declares of the input that calls itself so, at that place, after `arrays`. Raises RequestError."""
    spec = declared.get(name) if isinstance(name, str) else None
    if spec is None:
        valid = f"one of {', '.join(declared)}"
        raise RequestError(400, f"inputs[{index}].name={shown(name)} is not valid; expected {valid}")
    if spec.name in arrays:
        raise RequestError(400, f"inputs[{index}].name={shown(name)} is there twice; expected each tensor once")
    if datatype != spec.dtype:
        raise RequestError(400, f"inputs[{name}].datatype={shown(datatype)} is not valid; expected {spec.dtype}")
    return spec


def check_together(arrays: dict[str, Array], declared: dict[str, TensorSpec]) -> None:
    """Whether all inputs are there, with one batch size. Raises RequestError."""
    for name in declared:
        if name not in arrays:
            raise RequestError(400, f"inputs[{name}] is missing; expected the tensors {', '.join(declared)}")
    if len(arrays) > 1 and len({array.shape[0] for array in arrays.values()}) != 1:
        names = ", ".join(declared)
        raise RequestError(400, f"the inputs {names} differ in their first dimension; expected one batch size")


def _data(spec: TensorSpec, tensor: dict[str, Any], shape: tuple[int, ...], tail: binary.Tail | None) -> Array:
    """One input's values, from its `data` or from the bytes behind the JSON."""
    parameters = checked(tensor.get("parameters"), f"inputs[{spec.name}].parameters")
    if "binary_data_size" not in parameters:
        if "data" not in tensor:
            raise RequestError(400, f"inputs[{spec.name}].data is missing; expected a list of {spec.dtype} values")
        return to_array(spec, tensor["data"], shape)
    size, field = parameters["binary_data_size"], f"inputs[{spec.name}].parameters.binary_data_size"
    if "data" in tensor:
        raise RequestError(400, f"{field}={shown(size)} is not valid beside data; expected one of the two")
    if tail is None:
        raise binary.no_tail(field, size)
    return raw_to_array(spec, tail.take(field, size), shape)


def _outputs(wanted: Any, specs: tuple[TensorSpec, ...], all_binary: bool) -> tuple[tuple[str, ...], frozenset[str]]:
    """The outputs to answer with, in the order asked for (all when none is), and those of them to answer as bytes."""
    declared = tuple([spec.name for spec in specs])
    if wanted is None or wanted == []:
        return declared, frozenset(declared) if all_binary else frozenset()
    if not isinstance(wanted, list):
        raise RequestError(400, f"outputs={shown(wanted)} is not valid; expected a list of objects with a name")
    names: dict[str, bool] = {}
    for index, entry in enumerate(wanted):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name not in declared:
            given = shown(name if isinstance(entry, dict) else entry)
            raise RequestError(
                400, f"outputs[{index}].name={given} is not valid; expected one of {', '.join(declared)}"
            )
        if name not in names:
            field = f"outputs[{name}].parameters"
            names[name] = flag(checked(entry.get("parameters"), field), "binary_data", field, default=all_binary)
    return tuple(names), frozenset(name for name, is_binary in names.items() if is_binary)
