"""JSON schemas of requests and answers, made from a model's card."""

from typing import Any

from drillyard.core.contract import Dtype, ModelCard, TensorSpec
from serving.protocol import people

Json = dict[str, Any]

_ITEMS: dict[Dtype, Json] = {
    "FP32": {"type": "number"},
    "FP64": {"type": "number"},
    "UINT8": {"type": "integer", "minimum": 0, "maximum": 255},
    "INT64": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "BOOL": {"type": "boolean"},
}
BINARY: Json = {"type": "string", "format": "binary"}
ERROR: Json = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
SERVER: Json = {
    "type": "object",
    "required": ["name", "version", "extensions"],
    "properties": {
        "name": {"type": "string"},
        "version": {"type": "string"},
        "extensions": {"type": "array", "items": {"type": "string"}},
    },
}


def yes(key: str) -> Json:
    """An object that says so: live or ready."""
    return {"type": "object", "required": [key], "properties": {key: {"const": True}}}


def metadata(card: ModelCard) -> Json:
    """The answer to a request for the model's metadata."""
    tensor = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"type": "string"},
            "datatype": {"enum": list(_ITEMS)},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": -1}, "description": "-1: any size"},
        },
    }
    properties = {
        "name": {"const": card.name},
        "versions": {"type": "array", "items": {"type": "string"}},
        "platform": {"type": "string"},
        "inputs": {"type": "array", "items": tensor},
        "outputs": {"type": "array", "items": tensor},
    }
    return {"type": "object", "required": list(properties), "properties": properties}


def infer_request(card: ModelCard) -> Json:
    """An inference request that is JSON alone."""
    tensors = [
        _tensor(spec, {"type": "object"}, required=["name", "datatype", "shape", "data"]) for spec in card.inputs
    ]
    output = _object({"name": {"enum": [spec.name for spec in card.outputs]}}, _wish("binary_data"), required=["name"])
    properties = {
        "id": {"type": "string", "description": "comes back in the answer"},
        "inputs": {"type": "array", "minItems": len(tensors), "maxItems": len(tensors), "items": {"oneOf": tensors}},
        "outputs": {"type": "array", "items": output, "description": "all outputs when there is none"},
    }
    return _object(properties, _wish("binary_data_output"), required=["inputs"])


def infer_answer(card: ModelCard) -> Json:
    """The JSON of an inference answer; outputs asked for as binary have a size in place of `data`."""
    size = {"type": "object", "properties": {"binary_data_size": {"type": "integer", "minimum": 1}}}
    tensors = [_tensor(spec, size, required=["name", "datatype", "shape"]) for spec in card.outputs]
    properties = {
        "id": {"type": "string"},
        "model_name": {"const": card.name},
        "model_version": {"type": "string"},
        "outputs": {"type": "array", "items": {"oneOf": tensors}},
    }
    return {"type": "object", "required": ["model_name", "model_version", "outputs"], "properties": properties}


def named_fields(card: ModelCard) -> Json:
    """A person's request in named numbers."""
    fields = {name: {"type": "number"} for name in card.labels}
    return {"type": "object", "required": list(fields), "properties": fields, "additionalProperties": False}


def people_answer(card: ModelCard) -> Json:
    """The answer to a person."""
    required = ["model", "version", *(spec.name for spec in card.outputs)]
    properties = {"model": {"const": card.name}, "version": {"type": "integer"}}
    return {"type": "object", "required": required, "properties": properties}


def people_content(card: ModelCard, form: people.Form) -> Json:
    """What a person may send, by content type."""
    if form is people.Form.IMAGE:
        return {kind: {"schema": BINARY} for kind in people.IMAGE_TYPES}
    return {kind: {"schema": named_fields(card)} for kind in people.JSON_TYPES}


def _wish(key: str) -> Json:
    return {"type": "object", "properties": {key: {"type": "boolean"}}, "description": "unknown keys are ignored"}


def _object(properties: Json, parameters: Json, *, required: list[str]) -> Json:
    return {"type": "object", "required": required, "properties": properties | {"parameters": parameters}}


def _tensor(spec: TensorSpec, parameters: Json, *, required: list[str]) -> Json:
    dims = [{"type": "integer", "minimum": 1} if dim == -1 else {"const": dim} for dim in spec.shape]
    items = {"anyOf": [_ITEMS[spec.dtype], {"type": "array"}]}
    data = {"type": "array", "items": items, "description": "flat in row-major order, or nested as `shape` says"}
    properties = {
        "name": {"const": spec.name},
        "datatype": {"const": spec.dtype},
        "shape": {"type": "array", "prefixItems": dims, "minItems": len(dims), "maxItems": len(dims)},
        "data": data,
    }
    return _object(properties, parameters, required=required)
