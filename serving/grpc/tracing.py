"""Spans of gRPC calls, as serving/tracing.py has them of HTTP requests."""

from typing import Any

import grpc
from google.protobuf.message import Message
from opentelemetry.trace import StatusCode, Tracer

from serving.grpc.service import Calling, Context
from serving.logs import ID_CHARS
from serving.tracing import request_span

# What is right, and what is the caller's fault.
_NO_ERROR = (
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNAUTHENTICATED,
)


def traced_rpc(rpc: Calling, tracer: Tracer | None) -> Calling:
    """The methods with a span for each call, or as they are without a tracer."""
    return rpc if tracer is None else _TracedRpc(rpc, tracer)


class _TracedRpc:
    """A span from a call's arrival in the process to its answer, below the caller's own when it sent one."""

    def __init__(self, rpc: Calling, tracer: Tracer) -> None:
        self._rpc, self._tracer = rpc, tracer

    async def __call__(self, method: str, request: Any, context: Context) -> Message:
        sent = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        attributes = {
            "rpc.system": "grpc",
            "rpc.method": method,
            "drillyard.request_id": sent.get("x-request-id", "")[:ID_CHARS],
        }
        with request_span(self._tracer, span_name(method), sent, attributes) as span:
            response = await self._rpc(method, request, context)
            code = context.code() or grpc.StatusCode.OK
            span.set_attribute("rpc.grpc.status_code", code.value[0])
            if code not in _NO_ERROR:
                span.set_status(StatusCode.ERROR)
            return response


def span_name(method: str) -> str:
    """What a method's span is called, which is as for the HTTP routes."""
    return "infer" if method == "ModelInfer" else "request"
