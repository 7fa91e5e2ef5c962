"""One model's routes under `/v2/models/{name}` as a bare ASGI app: the hot path, so no framework stands on it."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import orjson

from drillyard.core.contract import ModelCard
from serving.protocol import people, v2
from serving.protocol.asgi import ClientGoneError, Headers, Receive, Scope, Send, header, lifespan, read_body, respond
from serving.protocol.errors import RequestError, body_of, method_not_allowed
from serving.protocol.tensors import Array

log = logging.getLogger("ray.serve")  # what Ray writes to the replica's log file
OFFLOAD_S = 0.002  # a call expected to take longer leaves the event loop; a shorter one costs less than the hand-over
CLIENT_CLOSED_REQUEST = 499  # nginx's code for "nobody left to answer"; counted, never sent

Answer = tuple[int, bytes, Headers]


class Answering(Protocol):
    """What the routes need of a predictor."""

    card: ModelCard
    row_time_s: float

    def decode(self, body: bytes) -> v2.InferRequest: ...
    def predict(self, inputs: dict[str, Array], outputs: tuple[str, ...]) -> dict[str, Array]: ...
    def encode(self, request: v2.InferRequest, outputs: dict[str, Array]) -> bytes: ...


class Counting(Protocol):
    """What the routes need of the metrics."""

    def begin(self) -> float: ...
    def end(self, began: float, code: int) -> None: ...


class ModelRoutes:
    """ASGI app for one model version. Every answer is JSON, and every request is counted once."""

    def __init__(self, predictor: Answering, metrics: Counting, *, max_body_bytes: int, max_pixels: int) -> None:
        self._predictor, self._metrics = predictor, metrics
        self._max_body_bytes, self._max_pixels = max_body_bytes, max_pixels
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        card = predictor.card
        self._root = f"/v2/models/{card.name}"
        metadata = orjson.dumps(v2.model_metadata(card))
        ready = orjson.dumps({"name": card.name, "version": str(card.version), "ready": True})
        # A replica gets requests only once it is ready, so "ready" needs no computing.
        self._documents = {
            f"{self._root}{version}{route}": document
            for version in ("", f"/versions/{card.version}")
            for route, document in (("", metadata), ("/ready", ready))
        }
        self._infer = frozenset({f"{self._root}/infer", f"{self._root}/versions/{card.version}/infer"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        if scope["type"] != "http":
            return  # no route speaks WebSocket: the server closes it
        began = self._metrics.begin()
        status = CLIENT_CLOSED_REQUEST
        try:
            status, body, headers = await self._answer(scope, receive)
            await respond(send, status, body, headers)
        except ClientGoneError:
            pass
        finally:
            self._metrics.end(began, status)

    async def ask(self, content_type: str, body: bytes) -> tuple[int, bytes]:
        """A person's request, already read; the answer's status and JSON body."""
        began = self._metrics.begin()
        status = 500
        try:
            inputs = people.decode(self._predictor.card, content_type, body, max_pixels=self._max_pixels)
            outputs = await self._predict(inputs, tuple(spec.name for spec in self._predictor.card.outputs), 1)
            status, answer = 200, orjson.dumps(people.encode(self._predictor.card, outputs))
        except RequestError as error:
            status, answer = error.status, body_of(error)
        finally:
            self._metrics.end(began, status)
        return status, answer

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        try:
            path, method = scope["path"], scope["method"]
            if path in self._infer:
                if method != "POST":
                    raise method_not_allowed(method, path, "POST")
                return 200, await self._infer_answer(scope, receive), ()
            if (document := self._documents.get(path)) is not None:
                if method != "GET":
                    raise method_not_allowed(method, path, "GET")
                return 200, document, ()
            raise self._unknown(path)
        except RequestError as error:
            if error.status >= 500:
                log.error("%s", error.message)
            return error.status, body_of(error), error.headers
        except ClientGoneError:
            raise
        except Exception:  # the last line: a bug must not end in a connection without an answer
            log.exception("unexpected failure")
            return 500, body_of(RequestError(500, "the server failed; its log says why")), ()

    async def _infer_answer(self, scope: Scope, receive: Receive) -> bytes:
        body = await read_body(scope, receive, self._max_body_bytes)
        if header(scope, b"inference-header-content-length"):
            raise RequestError(400, "the header Inference-Header-Content-Length is not valid; send the tensors as JSON")
        request = self._predictor.decode(body)
        outputs = await self._predict(request.inputs, request.outputs, request.rows)
        return self._predictor.encode(request, outputs)

    async def _predict(self, inputs: dict[str, Array], outputs: tuple[str, ...], rows: int) -> dict[str, Array]:
        if rows * self._predictor.row_time_s > OFFLOAD_S:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._predictor.predict, inputs, outputs)
        return self._predictor.predict(inputs, outputs)

    def _unknown(self, path: str) -> RequestError:
        card, below = self._predictor.card, path.removeprefix(self._root)
        if below.startswith("/versions/"):
            version = below.split("/")[2]
            if version != str(card.version):
                message = f"model {card.name} has no version {version!r} here; expected {card.version}"
                return RequestError(404, message)
        return RequestError(404, f"there is no route {path!r}; see /docs for those that are")
