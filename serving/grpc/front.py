"""The service in the front, for clients that do not say by metadata which model's replicas they mean."""

from typing import Any, Protocol

from google.protobuf.message import Message

from serving.grpc import open_inference_pb2 as pb
from serving.grpc.service import METHODS
from serving.protocol import v2
from serving.protocol.errors import RequestError


class Forwarding(Protocol):
    """What is needed of the models' replicas."""

    async def not_ready(self) -> list[str]: ...
    async def call(self, model: str, method: str, *arguments: Any) -> Any: ...


class Counting(Protocol):
    """What is needed of the front's metrics."""

    def answered(self, route: str, code: int) -> None: ...


class FrontService:
    """Answers for the server as a whole, and hands the rest to the model that the message names."""

    def __init__(self, models: Forwarding, metrics: Counting, *, server_version: str) -> None:
        self._models, self._metrics = models, metrics
        self._server = pb.ServerMetadataResponse(**v2.server_metadata(server_version))

    async def answer(self, method: str, request: Any) -> Message:
        """Raises RequestError."""
        code = 500
        try:
            response = await self._answer(method, request)
            code = 200
            return response
        except RequestError as error:
            code = error.status
            raise
        finally:
            self._metrics.answered(method, code)

    async def _answer(self, method: str, request: Any) -> Message:
        if method == "ServerLive":
            return pb.ServerLiveResponse(live=True)
        if method == "ServerReady":
            return pb.ServerReadyResponse(ready=not await self._models.not_ready())
        if method == "ServerMetadata":
            return self._server
        name = request.model_name if method == "ModelInfer" else request.name
        status, body = await self._models.call(name, "rpc", method, request.SerializeToString())
        if status != 200:
            raise RequestError(status, body.decode())
        return METHODS[method][1].FromString(body)
