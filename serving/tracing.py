"""Optional OpenTelemetry traces: where one request's time went, sent to a collector by OTLP over HTTP.

On when OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT) names a collector; the SDK reads its other variables, such
as OTEL_TRACES_SAMPLER, itself (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). When
it is off, nothing here stands in a request's way. A span holds times, names and sizes, no payload.
"""

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from drillyard.core.contract import ModelCard
from serving.logs import ID_CHARS
from serving.protocol.asgi import Receive, Scope, Send, header
from serving.protocol.patience import FOREVER, Patience
from serving.protocol.routes import Answering
from serving.protocol.tensors import Array
from serving.protocol.v2 import InferRequest

App = Callable[[Scope, Receive, Send], Awaitable[None]]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PARENT = TraceContextTextMapPropagator()  # W3C `traceparent`


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


class _TracedApp:
    """A span from a request's arrival in the process to its answer, below the caller's own when it sent one."""

    def __init__(self, app: App, tracer: Tracer) -> None:
        self._app, self._tracer = app, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        carrier = {name: header(scope, name.encode()).decode("latin-1") for name in ("traceparent", "tracestate")}
        attributes = {
            "http.request.method": scope["method"],
            "drillyard.request_id": header(scope, b"x-request-id").decode("latin-1")[:ID_CHARS],
        }
        name = "infer" if scope["path"].endswith("/infer") else "request"
        parent = _PARENT.extract({key: value for key, value in carrier.items() if value})
        with self._tracer.start_as_current_span(name, parent, SpanKind.SERVER, attributes) as span:

            async def watch(message: dict[str, Any]) -> None:
                if (status := message.get("status")) is not None:
                    span.set_attribute("http.response.status_code", status)
                    if status >= 500:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            await self._app(scope, receive, watch)


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
            card, outputs = await self._engine.infer(request, version, replace(patience, gone=gone))
        finally:
            ended_ns = time.time_ns()
            self._span("queue", decoded_ns, begun_ns or ended_ns, {})
            if begun_ns:
                self._span("inference", begun_ns, ended_ns, {})
        whole.set_attributes({"drillyard.model": card.name, "drillyard.version": card.version})
        return card, outputs

    def _span(self, name: str, start_ns: int, end_ns: int, attributes: Mapping[str, Any]) -> None:
        self._tracer.start_span(name, attributes=attributes, start_time=start_ns).end(end_ns)


def _start_ns(span: Span) -> int:
    start: int = span.start_time  # type: ignore[attr-defined]  # every recording span of the SDK has one
    return start
