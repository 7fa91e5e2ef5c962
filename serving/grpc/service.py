"""The service `inference.GRPCInferenceService` as Ray Serve wants it: a function that registers its methods with a
server, and a base class whose methods Serve calls by their names.
"""

import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

import grpc
from google.protobuf.message import Message

from serving.grpc import open_inference_pb2 as pb
from serving.logs import LOGGER
from serving.protocol.errors import RequestError
from serving.protocol.guard import Authorising, unauthorised

log = logging.getLogger(LOGGER)
_SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
METHODS: dict[str, tuple[type[Message], type[Message]]] = {  # request and response
    method.name: (getattr(pb, method.input_type.name), getattr(pb, method.output_type.name))
    for method in _SERVICE.methods
}
OPEN_METHODS = frozenset({"ServerLive", "ServerReady"})  # asked without an API key, as their HTTP routes are
_CODES = {  # https://grpc.github.io/grpc/core/md_doc_statuscodes.html
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,  # not RESOURCE_EXHAUSTED, which tells clients to try again
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def add_to_server(servicer: Any, server: grpc.Server) -> None:
    """Register the methods of `servicer`; Serve imports this function by its name and puts its own servicer in."""
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, name),
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )
        for name, (request, response) in METHODS.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE.full_name, handlers),))


def code_of(http_status: int) -> grpc.StatusCode:
    """The gRPC status for a RequestError's; INTERNAL for what is neither the request's fault nor passing."""
    return _CODES.get(http_status, grpc.StatusCode.INTERNAL)


class Context(Protocol):
    """What is needed of the context that Serve hands to each call."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]]: ...
    def code(self) -> grpc.StatusCode | None: ...  # as it was set
    def set_code(self, code: grpc.StatusCode) -> None: ...
    def set_details(self, details: str) -> None: ...


class Answering(Protocol):
    """The logic behind the methods."""

    async def answer(self, method: str, request: Any) -> Message:
        """The response to one of METHODS. Raises RequestError."""
        ...


class Rpc:
    """One deployment's methods: who may call them, and failures as gRPC tells them."""

    def __init__(self, service: Answering, keys: Authorising | None, refused: Callable[[int], None]) -> None:
        """`refused` is told the HTTP status of each call that the service had no part in."""
        self._service, self._keys, self._refused = service, keys, refused

    async def __call__(self, method: str, request: Any, context: Context) -> Message:
        try:
            if self._keys is not None and method not in OPEN_METHODS:
                self._admit(self._keys, context)
            return await self._service.answer(method, request)
        except RequestError as error:
            status, message = error.status, error.message
            if status >= 500:
                log.error("%s", message)
        except Exception:  # the last line: no trace of ours goes to a client
            log.exception("unexpected failure")
            status, message = 500, "the server failed; its log says why"
        # Set rather than raised: Serve would log each bad request with its whole trace.
        context.set_code(code_of(status))
        context.set_details(message)
        return METHODS[method][1]()  # gRPC sends no message beside an error

    def _admit(self, keys: Authorising, context: Context) -> None:
        metadata = context.invocation_metadata()
        headers = [(key.encode(), value if isinstance(value, bytes) else value.encode()) for key, value in metadata]
        if keys.authorised(headers) is None:
            error = unauthorised()
            self._refused(error.status)
            raise error


class Calling(Protocol):
    """An Rpc, or what is put around one."""

    async def __call__(self, method: str, request: Any, context: Context) -> Message: ...


Method = Callable[["InferenceService", Any, Context], Coroutine[Any, Any, Message]]


def _method(name: str) -> Method:
    async def method(self: "InferenceService", request: Any, grpc_context: Context) -> Message:
        return await self._rpc(name, request, grpc_context)  # Serve hands over a context by this parameter's name

    return method


class InferenceService:
    """Base of a deployment that answers gRPC; its constructor sets `_rpc`. Serve calls the methods by their names."""

    _rpc: Calling
    ServerLive = _method("ServerLive")
    ServerReady = _method("ServerReady")
    ServerMetadata = _method("ServerMetadata")
    ModelReady = _method("ModelReady")
    ModelMetadata = _method("ModelMetadata")
    ModelInfer = _method("ModelInfer")
