"""Optional OpenTelemetry traces: where one request's time went, sent to a collector by OTLP over HTTP.

On when OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT) names a collector; the SDK reads its other variables, such
as OTEL_TRACES_SAMPLER, itself (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). When
it is off, nothing here stands in a request's way. A span holds times, names and sizes, no payload.
"""

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from drillyard.core.contract import ModelCard
from serving.logs import ID_CHARS
from serving.protocol.asgi import CLIENT_CLOSED_REQUEST, Receive, Scope, Send, StatusWatch, header
from serving.protocol.patience import FOREVER, Patience
from serving.protocol.routes import Answering
from serving.protocol.tensors import Array
from serving.protocol.v2 import InferRequest

App = Callable[[Scope, Receive, Send], Awaitable[None]]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_CONTEXT = TraceContextTextMapPropagator()  # W3C `traceparent` and `tracestate`


def tracer_of(environment: Mapping[str, str], process: str) -> Tracer | None:
    """What this process traces with; None when the environment names no collector."""
    if not any(environment.get(name) for name in ENDPOINTS):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    service = environment.get("OTEL_SERVICE_NAME", "drillyard")
    resource = Resource.create({"service.name": service, "service.instance.id": f"{process} {os.getpid()}"})
    provider = TracerProvider(resource=resource)  # not the process's global one, which belongs to other libraries
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider.get_tracer("drillyard")


def traced_app(app: App, tracer: Tracer | None) -> App:
    """The app with a span for each request, or as it is without a tracer."""
    return app if tracer is None else _TracedApp(app, tracer)


def traced_engine(engine: Answering, tracer: Tracer | None) -> Answering:
    """The engine with spans of what a traced request waits for, or as it is without a tracer."""
    return engine if tracer is None else _TracedEngine(engine, tracer)


def carrier() -> dict[str, str]:
    """The span that is under way, as what `traced_answer` in another process takes; empty when nothing is traced."""
    found: dict[str, str] = {}
    _CONTEXT.inject(found)
    return found


async def traced_answer(
    answer: Awaitable[tuple[int, bytes]], tracer: Tracer | None, name: str, parent: Mapping[str, str]
) -> tuple[int, bytes]:
    """HTTP status and body of a call from another process of the server, with a span below that process's."""
    if tracer is None:
        return await answer
    with request_span(tracer, name, parent, {}) as span:
        status, body = await answer
        _answered(span, status)
        return status, body


def request_span(
    tracer: Tracer, name: str, parent: Mapping[str, str], attributes: Mapping[str, str]
) -> AbstractContextManager[Span]:
    """A span of one request in this process; `parent` may hold the caller's `traceparent` and `tracestate`."""
    return tracer.start_as_current_span(name, _CONTEXT.extract(parent), SpanKind.SERVER, attributes)


class _TracedApp:
    """A span from a request's arrival in the process to its answer, below the caller's own when it sent one."""

    def __init__(self, app: App, tracer: Tracer) -> None:
        self._app, self._tracer = app, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = {name: header(scope, name.encode()).decode("latin-1") for name in _CONTEXT.fields}
        attributes = {
            "http.request.method": scope["method"],
            "drillyard.request_id": header(scope, b"x-request-id").decode("latin-1")[:ID_CHARS],
        }
        parent = {key: value for key, value in sent.items() if value}
        with request_span(self._tracer, _name_of(scope["path"]), parent, attributes) as span:
            watch = StatusWatch(send, unsent=CLIENT_CLOSED_REQUEST)
            await self._app(scope, receive, watch)
            _answered(span, watch.status)


class _TracedEngine:
    """Below the request's span: decode (body read and decoded), queue, inference."""

    def __init__(self, engine: Answering, tracer: Tracer) -> None:
        self._engine, self._tracer = engine, tracer

    @property
    def versions(self) -> tuple[int, ...]:
        return self._engine.versions

    def card(self, version: str | None = None) -> ModelCard:
        return self._engine.card(version)

    async def infer(
        self, request: InferRequest, version: str | None = None, patience: Patience = FOREVER
    ) -> tuple[ModelCard, dict[str, Array]]:
        """As the engine; raises what it raises."""
        whole = trace.get_current_span()
        if not whole.is_recording():
            return await self._engine.infer(request, version, patience)
        decoded_ns = time.time_ns()
        begun_ns = 0

        def gone() -> bool:
            """Patience is asked for the last time just before the model is: the end of the queue."""
            nonlocal begun_ns
            begun_ns = time.time_ns()
            return patience.gone is not None and patience.gone()

        self._span("decode", _start_ns(whole), decoded_ns, {"drillyard.rows": request.rows})
        try:
            card, outputs = await self._engine.infer(request, version, patience._replace(gone=gone))
        finally:
            ended_ns = time.time_ns()
            self._span("queue", decoded_ns, begun_ns or ended_ns, {})
            if begun_ns:
                self._span("inference", begun_ns, ended_ns, {})
        whole.set_attributes({"drillyard.model": card.name, "drillyard.version": card.version})
        return card, outputs

    def _span(self, name: str, start_ns: int, end_ns: int, attributes: Mapping[str, Any]) -> None:
        self._tracer.start_span(name, attributes=attributes, start_time=start_ns).end(end_ns)


def _name_of(path: str) -> str:
    if path.endswith("/infer"):
        return "infer"
    return "predict" if path.startswith("/predict/") else "request"


def _answered(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR)


def _start_ns(span: Span) -> int:
    start: int = span.start_time  # type: ignore[attr-defined]  # every recording span of the SDK has one
    return start
