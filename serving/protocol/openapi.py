"""The OpenAPI 3.1 description of every route, made from the cards, and a page that shows it without foreign scripts."""

from html import escape
from typing import Any

import orjson

from drillyard.core.contract import Dtype, ModelCard, TensorSpec
from serving.protocol import people

Json = dict[str, Any]

_ITEMS: dict[Dtype, Json] = {
    "FP32": {"type": "number"},
    "FP64": {"type": "number"},
    "UINT8": {"type": "integer", "minimum": 0, "maximum": 255},
    "INT64": {"type": "integer"},
    "BOOL": {"type": "boolean"},
}
_BAD_REQUEST = ("400", "404", "405", "413", "415")


def document(cards: tuple[ModelCard, ...], version: str) -> Json:
    """The whole description."""
    paths: Json = {
        "/v2": {"get": _operation("Server metadata")},
        "/v2/health/live": {"get": _operation("Is the server alive?")},
        "/v2/health/ready": {"get": _operation("Does every model answer?", errors=("503",))},
        "/metrics": {"get": _operation("Metrics in the Prometheus text format", content="text/plain")},
        "/docs": {"get": _operation("This description as a page", content="text/html")},
        "/openapi.json": {"get": _operation("This description")},
    }
    for card in cards:
        for root in (f"/v2/models/{card.name}", f"/v2/models/{card.name}/versions/{card.version}"):
            paths[root] = {"get": _operation(f"Metadata of {card.name}")}
            paths[f"{root}/ready"] = {"get": _operation(f"Does {card.name} answer?")}
            infer = _operation(f"Ask {card.name} in tensors", errors=_BAD_REQUEST)
            infer["requestBody"] = _body("application/json", _infer_schema(card))
            paths[f"{root}/infer"] = {"post": infer}
        if (form := people.form_of(card)) is not people.Form.NONE:
            ask = _operation(f"Ask {card.name} in {form.value}", errors=_BAD_REQUEST)
            ask["requestBody"] = _people_body(card, form)
            paths[f"/predict/{card.name}"] = {"post": ask}
    error = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "drillyard", "version": version},
        "paths": paths,
        "components": {"schemas": {"Error": error}},
    }


def page(described: Json) -> str:
    """The description as one HTML page; it loads nothing, so it works offline and tells nobody."""
    rows = []
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {})
            shown = escape(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()) if body else ""
            detail = f"<details><summary>request body</summary><pre>{shown}</pre></details>" if body else ""
            rows.append(
                f"<h3><code>{method.upper()} {escape(path)}</code></h3><p>{escape(operation['summary'])}</p>{detail}"
            )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>drillyard</title>"
        "<style>body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em}</style>"
        "<h1>drillyard</h1><p>Machine-readable: <a href=/openapi.json>/openapi.json</a></p>" + "".join(rows)
    )


def _operation(summary: str, *, content: str = "application/json", errors: tuple[str, ...] = ()) -> Json:
    failure = _body("application/json", {"$ref": "#/components/schemas/Error"})["content"]
    responses: Json = {"200": {"description": "OK", "content": {content: {}}}}
    for code in errors:
        responses[code] = {"description": "The fault is named in `error`", "content": failure}
    return {"summary": summary, "responses": responses}


def _body(content_type: str, schema: Json) -> Json:
    return {"required": True, "content": {content_type: {"schema": schema}}}


def _infer_schema(card: ModelCard) -> Json:
    tensors = [_tensor_schema(spec) for spec in card.inputs]
    inputs = {"type": "array", "minItems": len(tensors), "maxItems": len(tensors), "items": {"oneOf": tensors}}
    names = [spec.name for spec in card.outputs]
    output = {"type": "object", "required": ["name"], "properties": {"name": {"enum": names}}}
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {"id": {"type": "string"}, "inputs": inputs, "outputs": {"type": "array", "items": output}},
    }


def _tensor_schema(spec: TensorSpec) -> Json:
    dims = [{"type": "integer", "minimum": 1} if dim == -1 else {"const": dim} for dim in spec.shape]
    return {
        "type": "object",
        "required": ["name", "datatype", "shape", "data"],
        "properties": {
            "name": {"const": spec.name},
            "datatype": {"const": spec.dtype},
            "shape": {"type": "array", "prefixItems": dims, "minItems": len(dims), "maxItems": len(dims)},
            "data": {"type": "array", "items": _ITEMS[spec.dtype], "description": "flat in row-major order"},
        },
    }


def _people_body(card: ModelCard, form: people.Form) -> Json:
    if form is people.Form.IMAGE:
        kinds = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in people.IMAGE_TYPES}
        return {"required": True, "content": kinds}
    fields = {name: {"type": "number"} for name in card.labels}
    schema = {"type": "object", "required": list(fields), "properties": fields, "additionalProperties": False}
    return _body("application/json", schema)
