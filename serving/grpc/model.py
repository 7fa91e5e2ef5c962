"""The service in a model's replica. Answers for the server too, since a client may be sent straight here."""

from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import Message

from drillyard.core.contract import ModelCard
from serving.grpc import open_inference_pb2 as pb
from serving.grpc.codec import decode_infer_request, encode_infer_response
from serving.grpc.service import METHODS
from serving.protocol import v2
from serving.protocol.asgi import CLIENT_CLOSED_REQUEST
from serving.protocol.errors import RequestError, shown
from serving.protocol.routes import Answering, Counting


class ModelService:
    """One model's answers; every request for a model is counted once, as the HTTP routes count theirs."""

    def __init__(self, engine: Answering, metrics: Counting, *, max_rows: int, server_version: str) -> None:
        self._engine, self._metrics, self._max_rows = engine, metrics, max_rows
        self._server = pb.ServerMetadataResponse(**v2.server_metadata(server_version))
        self._of_model: dict[str, Callable[[Any], Awaitable[Message]]] = {
            "ModelReady": self._ready,
            "ModelMetadata": self._metadata,
            "ModelInfer": self._infer,
        }

    async def answer(self, method: str, request: Any) -> Message:
        """Raises RequestError."""
        if method in self._of_model:
            return await self._counted(self._of_model[method], request)
        # A replica gets requests only once it is ready, so there is nothing to find out.
        if method == "ServerReady":
            return pb.ServerReadyResponse(ready=True)
        return pb.ServerLiveResponse(live=True) if method == "ServerLive" else self._server

    async def answer_forwarded(self, method: str, message: bytes) -> tuple[int, bytes]:
        """A call that the front took: 200 and the serialised response, or the status and text of a RequestError."""
        try:
            response = await self.answer(method, METHODS[method][0].FromString(message))
        except RequestError as error:
            return error.status, error.message.encode()
        return 200, response.SerializeToString()

    async def _counted(self, call: Callable[[Any], Awaitable[Message]], request: Any) -> Message:
        began, status = self._metrics.begin(), CLIENT_CLOSED_REQUEST
        try:
            response = await call(request)
            status = 200
            return response
        except RequestError as error:
            status = error.status
            raise
        except Exception:
            status = 500
            raise
        finally:
            self._metrics.end(began, status)

    async def _ready(self, request: pb.ModelReadyRequest) -> Message:
        self._card(request.name, request.version)
        return pb.ModelReadyResponse(ready=True)

    async def _metadata(self, request: pb.ModelMetadataRequest) -> Message:
        card = self._card(request.name, request.version)
        return pb.ModelMetadataResponse(**v2.model_metadata(card, self._engine.versions))

    async def _infer(self, message: pb.ModelInferRequest) -> Message:
        card = self._card(message.model_name, message.model_version)
        request = decode_infer_request(message, card, max_rows=self._max_rows)
        card, outputs = await self._engine.infer(request, message.model_version or None)
        return encode_infer_response(card, request.id, outputs, raw=bool(message.raw_input_contents))

    def _card(self, name: str, version: str) -> ModelCard:
        """What the request is decoded against; an empty version leaves the choice to the server."""
        card = self._engine.card(version or None)
        if name != card.name:
            raise RequestError(404, f"there is no model {shown(name)} here; expected {card.name}")
        return card
