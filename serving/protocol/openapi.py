"""The OpenAPI 3.1 description of every route, made from the cards, and a page that shows it without foreign scripts."""

from collections.abc import Iterable
from html import escape

import orjson

from drillyard.core.contract import ModelCard
from serving.protocol import binary, people, schemas
from serving.protocol.patience import MAX_TIMEOUT_MS
from serving.protocol.schemas import Json

_FAULTS = {
    "400": "The request is not valid",
    "401": "The server asks for an API key, and the request has none that is valid",
    "404": "There is no such model or version",
    "413": "Too many bytes, rows or pixels",
    "415": "The content type or encoding is not known",
    "503": "The model cannot take the request now",
    "504": "The request's own deadline passed before the model was asked",
}
_BODY_FAULTS = ("400", "401", "413", "415", "503")
_COMPRESSION = "May be compressed: Content-Encoding gzip or deflate."
_HEADER = binary.HEADER_NAME
_TIMEOUT: Json = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "description": "How long the caller waits, counted from the request's arrival",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_TIMEOUT_MS},
}


def document(served: Iterable[tuple[ModelCard, tuple[int, ...]]], version: str) -> Json:
    """The whole description. `served` are models, each with its versions that answer when asked for by number.

    One card speaks for all versions of a model: with other tensors or labels they would not be served together.
    """
    paths: Json = {
        "/v2": {"get": _get("Server metadata", _json(schemas.SERVER))},
        "/v2/health/live": {"get": _get("Is the server alive?", _json(schemas.yes("live")), faults=())},
        "/v2/health/ready": {"get": _get("Does every model answer?", _json(schemas.yes("ready")), faults=("503",))},
        "/metrics": {"get": _get("Metrics in the Prometheus text format", {"text/plain": {}})},
        "/docs": {"get": _get("This description as a page", {"text/html": {}})},
        "/openapi.json": {"get": _get("This description", _json({"type": "object"}))},
    }
    for card, versions in served:
        name = f"/v2/models/{card.name}"
        for root in (name, *(f"{name}/versions/{each}" for each in versions)):
            faults = ("401", "503") if root == name else ("401", "404", "503")
            paths[root] = {"get": _get(f"Metadata of {card.name}", _json(schemas.metadata(card)), faults=faults)}
            ready = _json(schemas.yes("ready"))
            paths[f"{root}/ready"] = {"get": _get(f"Does {card.name} answer?", ready, faults=faults)}
            paths[f"{root}/infer"] = {"post": _infer(card, faults)}
        if (form := people.form_of(card)) is not people.Form.NONE:
            paths[f"/predict/{card.name}"] = {"post": _predict(card, form)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "drillyard", "version": version},
        "paths": paths,
        "components": {"schemas": {"Error": schemas.ERROR}},
    }


def page(described: Json) -> str:
    """The description as one HTML page; it loads nothing, so it works offline and tells nobody."""
    rows = []
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            codes = ", ".join(operation["responses"])
            rows.append(
                f"<h3><code>{method.upper()} {escape(path)}</code></h3><p>{escape(operation['summary'])}</p>"
                f"<p>Answers {codes}</p>{_detail(operation)}"
            )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>drillyard</title>"
        "<style>body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em}</style>"
        "<h1>drillyard</h1><p>Machine-readable: <a href=/openapi.json>/openapi.json</a></p>" + "".join(rows)
    )


def _detail(operation: Json) -> str:
    """What an operation takes, to be unfolded."""
    taken = {key: operation[key] for key in ("parameters", "requestBody") if key in operation}
    if not taken:
        return ""
    shown = escape(orjson.dumps(taken, option=orjson.OPT_INDENT_2).decode())
    return f"<details><summary>request</summary><pre>{shown}</pre></details>"


def _infer(card: ModelCard, faults: tuple[str, ...]) -> Json:
    """Inference on tensors, as JSON or with binary data behind it."""
    length = {"type": "integer", "minimum": 1}
    about = "The length of the JSON in bytes, when binary data follows it"
    answers = _json(schemas.infer_answer(card)) | {binary.CONTENT_TYPE.decode(): {"schema": schemas.BINARY}}
    operation = _operation(f"Ask {card.name} in tensors", answers, tuple(sorted({*faults, *_BODY_FAULTS, "504"})))
    operation["responses"]["200"]["headers"] = {_HEADER: {"description": about, "schema": length}}
    operation["parameters"] = [{"name": _HEADER, "in": "header", "description": about, "schema": length}, _TIMEOUT]
    sent = _json(schemas.infer_request(card)) | {binary.CONTENT_TYPE.decode(): {"schema": schemas.BINARY}}
    operation["requestBody"] = {"required": True, "content": sent, "description": _COMPRESSION}
    return operation


def _predict(card: ModelCard, form: people.Form) -> Json:
    """The route for people."""
    operation = _operation(f"Ask {card.name} in {form.value}", _json(schemas.people_answer(card)), _BODY_FAULTS)
    content = schemas.people_content(card, form)
    operation["requestBody"] = {"required": True, "content": content, "description": _COMPRESSION}
    return operation


def _get(summary: str, answers: Json, *, faults: tuple[str, ...] = ("401",)) -> Json:
    return _operation(summary, answers, faults)


def _operation(summary: str, answers: Json, faults: tuple[str, ...]) -> Json:
    failure = _json({"$ref": "#/components/schemas/Error"})
    responses: Json = {"200": {"description": "OK", "content": answers}}
    responses |= {code: {"description": f"{_FAULTS[code]}; `error` says why", "content": failure} for code in faults}
    return {"summary": summary, "responses": responses}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}
