"""One model's routes under `/v2/models/{name}` as a bare ASGI app: the hot path, so no framework stands on it."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

import orjson

from drillyard.core.contract import ModelCard
from serving.logs import LOGGER
from serving.protocol import binary, people, v2
from serving.protocol.asgi import (
    CLIENT_CLOSED_REQUEST,
    ClientGoneError,
    Headers,
    Receive,
    Scope,
    Send,
    header,
    lifespan,
    read_body,
    respond,
)
from serving.protocol.errors import JSON, RequestError, body_of, method_not_allowed
from serving.protocol.joined import join
from serving.protocol.patience import FOREVER, Patience, patience_of
from serving.protocol.tensors import Array

log = logging.getLogger(LOGGER)

Answer = tuple[int, bytes, Headers, bytes]  # status, body, more headers, content type


class Answering(Protocol):
    """What the routes need of an engine."""

    @property
    def versions(self) -> tuple[int, ...]: ...
    def card(self, version: str | None = None) -> ModelCard: ...
    async def infer(
        self, request: v2.InferRequest, version: str | None = None, patience: Patience = FOREVER
    ) -> tuple[ModelCard, dict[str, Array]]: ...


class Counting(Protocol):
    """What the routes need of the metrics."""

    def begin(self) -> float: ...
    def end(self, began: float, code: int) -> None: ...


class ModelRoutes:
    """ASGI app for one model. Every answer is JSON, or JSON with binary tensors, and every request is counted once."""

    def __init__(
        self, engine: Answering, metrics: Counting, *, max_body_bytes: int, max_rows: int, max_pixels: int
    ) -> None:
        self._engine, self._metrics = engine, metrics
        self._max_body_bytes, self._max_rows, self._max_pixels = max_body_bytes, max_rows, max_pixels
        # One thread: Pillow lets go of the interpreter while it decodes, and two large pictures need twice the memory.
        self._decoding = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode")
        self._root = f"/v2/models/{engine.card().name}"
        self._infer = f"{self._root}/infer"  # without a version: nearly every request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        if scope["type"] != "http":
            return  # no route speaks WebSocket: the server closes it
        began = self._metrics.begin()
        status = CLIENT_CLOSED_REQUEST
        try:
            status, body, headers, content_type = await self._answer(scope, receive)
            join(scope, receive)
            await respond(send, status, body, headers, content_type)
        except ClientGoneError:
            pass
        finally:
            self._metrics.end(began, status)

    async def ask(self, content_type: str, body: bytes) -> tuple[int, bytes]:
        """A person's request, already read; the answer's status and JSON body."""
        began = self._metrics.begin()
        status = 500
        try:
            card = self._engine.card()
            decode = partial(people.decode, card, content_type, body, max_pixels=self._max_pixels)
            quick = people.is_quick(card, body)
            inputs = decode() if quick else await asyncio.get_running_loop().run_in_executor(self._decoding, decode)
            request = v2.InferRequest(id=None, inputs=inputs, outputs=tuple(spec.name for spec in card.outputs))
            card, outputs = await self._engine.infer(request)
            status, answer = 200, orjson.dumps(people.encode(card, outputs))
        except RequestError as error:
            status, answer = error.status, body_of(error)
        finally:
            self._metrics.end(began, status)
        return status, answer

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        try:
            path = scope["path"]
            version, route = (None, "/infer") if path == self._infer else self._parsed(path)
            if route == "/infer":
                _check_method(scope, "POST")
                return await self._infer_answer(scope, receive, version)
            _check_method(scope, "GET")
            card = self._engine.card(version)
            if route == "/ready":
                # A replica gets requests only once it is ready, so "ready" needs no computing.
                return 200, orjson.dumps({"name": card.name, "version": str(card.version), "ready": True}), (), JSON
            return 200, orjson.dumps(v2.model_metadata(card, self._engine.versions)), (), JSON
        except RequestError as error:
            if error.status == 500:  # 503 and 504 are the load's doing: counted, and too many to log
                log.error("%s", error.message)
            return error.status, body_of(error), error.headers, JSON
        except ClientGoneError:
            raise
        except Exception:  # the last line: a bug must not end in a connection without an answer
            log.exception("unexpected failure")
            return 500, body_of(RequestError(500, "the server failed; its log says why")), (), JSON

    async def _infer_answer(self, scope: Scope, receive: Receive, version: str | None) -> Answer:
        card = self._engine.card(version)
        patience = patience_of(scope["headers"], receive)
        body = await read_body(scope, receive, self._max_body_bytes)
        json_bytes = binary.json_bytes(header(scope, binary.HEADER), len(body))
        request = v2.decode_infer_request(body, card, max_rows=self._max_rows, json_bytes=json_bytes)
        card, outputs = await self._engine.infer(request, version, patience)
        answer, json_bytes = v2.encode_infer_response(card, request.id, outputs, request.binary_outputs)
        if json_bytes is None:
            return 200, answer, (), JSON
        return 200, answer, ((binary.HEADER, str(json_bytes).encode()),), binary.CONTENT_TYPE

    def _parsed(self, path: str) -> tuple[str | None, str]:
        """The version and the route (empty: metadata) that a path below the model's root names. Raises RequestError."""
        version = None
        below = path[len(self._root) :] if path.startswith(self._root) else "elsewhere"
        if below.startswith("/versions/"):
            version, slash, rest = below.removeprefix("/versions/").partition("/")
            self._engine.card(version)  # a wrong version is the better message than a wrong route behind it
            below = slash + rest
        if below not in ("", "/ready", "/infer"):
            raise RequestError(404, f"there is no route {path!r}; see /docs for those that are")
        return version, below


def _check_method(scope: Scope, allowed: str) -> None:
    if scope["method"] != allowed:
        raise method_not_allowed(scope["method"], scope["path"], allowed)
