"""The routes that belong to no single model: server metadata, health, people's routes, documentation, metrics.

Not on the hot path: HAProxy sends `/v2/models/<served model>/...` straight to that model's replicas. What reaches the
same routes here asks for a model that is not served.
"""

import asyncio
import logging
import os
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from drillyard.core.contract import ModelCard
from serving.exposition import CONTENT_TYPE, exposition
from serving.grpc.front import FrontService
from serving.grpc.service import InferenceService, Rpc
from serving.grpc.tracing import traced_rpc
from serving.keys import guarded, ring_of
from serving.logs import LOGGER, access_logged, log_to, serve_request_id
from serving.metrics import NO_ROUTE, FrontMetrics
from serving.models import Models
from serving.protocol import openapi, v2
from serving.protocol.asgi import CLIENT_CLOSED_REQUEST, ClientGoneError, Receive, Scope, Send, StatusWatch, read_body
from serving.protocol.errors import RequestError, body_of
from serving.protocol.guard import App
from serving.published import published
from serving.recipes import ServeConfig
from serving.tracing import traced_app, tracer_of
from serving.version import server_version

log = logging.getLogger(LOGGER)


class Front(InferenceService):
    """Ray Serve deployment at `/`. Knows the models by their cards and reaches them through deployment handles."""

    def __init__(self, cards: tuple[ModelCard, ...], config: ServeConfig, metrics_folder: str) -> None:
        if config.log_file is not None:
            log_to(config.log_file, "front", serve_request_id)
        self._keys = ring_of(config)
        self._cards = {card.name: card for card in cards}
        self._config, self._metrics_folder = config, Path(metrics_folder)
        self._admin_socket = _admin_socket()
        self._metrics = FrontMetrics(self._metrics_folder)
        self._models = Models(tuple(self._cards))
        service = FrontService(self._models, self._metrics, server_version=server_version())
        self._refused = partial(self._metrics.answered, NO_ROUTE)
        self._tracer = tracer_of(os.environ, "front")
        self._rpc = traced_rpc(Rpc(service, self._keys, self._refused), self._tracer)

    def __serve_build_asgi_app__(self) -> App:  # Ray's name: `serve.ingress()` calls it
        app = FastAPI(title="drillyard", version=server_version(), docs_url=None, redoc_url=None, openapi_url=None)
        app.add_middleware(_Counted, metrics=self._metrics)
        app.add_exception_handler(HTTPException, _http_error)
        app.add_exception_handler(RequestError, _request_error)
        app.add_exception_handler(ClientGoneError, _client_gone)
        app.add_exception_handler(Exception, _bug)
        for path, endpoint in (
            ("/", lambda: RedirectResponse("/docs")),
            ("/docs", lambda: HTMLResponse(openapi.page(self._description()))),
            ("/openapi.json", self._description),
            ("/metrics", self._exposition),
            ("/v2", lambda: v2.server_metadata(server_version())),
            ("/v2/health/live", lambda: {"live": True}),
            ("/v2/health/ready", self._ready),
            ("/v2/models/{name}", self._unknown_model),
            ("/v2/models/{name}/ready", self._unknown_model),
            ("/v2/models/{name}/versions/{version}", self._unknown_model),
            ("/v2/models/{name}/versions/{version}/ready", self._unknown_model),
        ):
            app.add_api_route(path, endpoint, methods=["GET"], response_model=None)
        app.add_api_route("/predict/{name}", self._predict, methods=["POST"], response_model=None)
        for path in ("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"):
            app.add_api_route(path, self._unknown_model, methods=["POST"], response_model=None)
        logged = access_logged(guarded(app, self._keys, self._refused), self._config.access_log_share)
        return traced_app(logged, self._tracer)

    def _description(self) -> dict[str, Any]:
        """Of the versions that are served now; FastAPI calls this in a thread, as what is published lies in Ray."""
        served = [(card, published(name)) for name, card in self._cards.items()]
        with_versions = [(card, now.versions if now is not None else (card.version,)) for card, now in served]
        return openapi.document(with_versions, server_version())

    async def _ready(self) -> Response:
        """200 when every model answers through its handle, else 503 naming those that do not."""
        missing = await self._models.not_ready()
        if missing:
            raise RequestError(503, f"not ready: {', '.join(missing)}")
        return Response(b'{"ready":true}', media_type="application/json")

    async def _predict(self, name: str, request: Request) -> Response:
        """A person's request, forwarded unread to the model."""
        self._models.check(name)  # before anything is read
        body = await read_body(request.scope, request.receive, self._config.max_body_bytes)
        content_type = request.headers.get("content-type", "")
        status, answer = await self._models.call(name, "ask", content_type, body)
        return Response(answer, status_code=status, media_type="application/json")

    async def _unknown_model(self, name: str) -> Response:
        raise self._models.unknown(name)

    async def _exposition(self) -> Response:
        text = await asyncio.to_thread(exposition, self._metrics_folder, self._admin_socket)
        return Response(text, media_type=CONTENT_TYPE)


def _admin_socket() -> Path | None:
    """Of this server's HAProxy; None on an existing cluster, whose HAProxy is not ours."""
    import ray

    configured = os.environ.get("RAY_SERVE_HAPROXY_SOCKET_PATH")
    if configured is None:
        return None
    node = ray.get_runtime_context().get_node_id()  # Serve puts a folder of the node's name between
    return Path(configured).parent / node / Path(configured).name


class _Counted:
    """Counts each answer by the route's template, so that unknown paths cannot make labels without end."""

    def __init__(self, app: Any, metrics: FrontMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        watch = StatusWatch(send, unsent=500)  # what the outermost handler answers when an exception passes here
        try:
            await self._app(scope, receive, watch)
        finally:
            route = scope.get("route")  # FastAPI's, once a template matched
            self._metrics.answered(route.path if route is not None else NO_ROUTE, watch.status)


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405, in this server's form."""
    assert isinstance(error, HTTPException)
    allow = (error.headers or {}).get("Allow", "")
    if error.status_code == 405:
        message = f"method {request.method} is not allowed on {request.url.path}; use {allow}"
    else:
        message = f"there is no route {request.url.path!r}; see /docs for those that are"
    return _response(RequestError(error.status_code, message, ((b"allow", allow.encode()),) if allow else ()))


async def _request_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _response(error)


async def _client_gone(_: Request, __: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)  # nobody reads it


async def _bug(_: Request, error: Exception) -> Response:
    log.error("unexpected failure", exc_info=error)
    return _response(RequestError(500, "the server failed; its log says why"))


def _response(error: RequestError) -> Response:
    headers = {key.decode(): value.decode() for key, value in error.headers}
    return Response(body_of(error), status_code=error.status, headers=headers, media_type="application/json")
