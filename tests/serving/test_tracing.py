"""Spans as a collector receives them, over real OTLP; and no wrapper at all when no collector is named."""

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from opentelemetry.trace import Tracer

from drillyard.core.contract import ModelCard
from serving.engine import Engine
from serving.predictor import Predictor
from serving.protocol.routes import ModelRoutes
from serving.recipes import Batching
from serving.tracing import ENDPOINTS, traced_app, traced_engine, tracer_of
from tests.serving.conftest import MeasuringFake, Reply, call_app
from tests.support.collector import Collector, attributes

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def tracer(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Tracer:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "yard"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = tracer_of(environment, "replica fraud")
    assert found is not None
    return found


def flushed(tracer: Tracer, collector: Collector) -> dict[str, Any]:
    """By name; each is expected once."""
    tracer.span_processor.force_flush()  # type: ignore[attr-defined]
    spans = {span.name: span for span in collector.spans}
    assert len(spans) == len(collector.spans)
    return spans


def infer(predictor: Any, tracer: Tracer | None, *, fields: Any = (), batching: Batching | None = None) -> Reply:
    """One request of two rows through the whole replica's app, with a caller's own trace around it."""

    class NotCounting:
        def begin(self) -> float:
            return 0.0

        def end(self, began: float, code: int) -> None:
            assert 200 <= code < 600

    engine = Engine(predictor, MeasuringFake(), batching or Batching())
    routes = ModelRoutes(
        traced_engine(engine, tracer), NotCounting(), max_body_bytes=10_000, max_rows=64, max_pixels=10_000
    )
    tensor = {"name": "features", "datatype": "FP32", "shape": [2, 29], "data": [987654.25] * 58}
    headers = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01", "x-request-id": "q-7", **dict(fields)}
    body = orjson.dumps({"inputs": [tensor]})
    return call_app(traced_app(routes, tracer), "POST", "/v2/models/fraud/infer", body, headers)


@pytest.mark.parametrize("offload_s", [1.0, -1.0], ids=["on the loop", "in a batch"])
def test_a_request_is_a_trace_of_its_stages(
    predictors: dict[str, Predictor], tracer: Tracer, collector: Collector, offload_s: float
) -> None:
    batching = Batching(offload_s=offload_s, max_wait_s=0.02)
    assert infer(predictors["fraud"], tracer, batching=batching).status == 200
    spans = flushed(tracer, collector)
    whole, stages = spans["infer"], [spans[name] for name in ("decode", "queue", "inference")]
    assert len(spans) == 4
    assert (whole.trace_id.hex(), whole.parent_span_id.hex()) == (TRACE_ID, PARENT_ID), "the caller's trace goes on"
    assert {stage.parent_span_id for stage in stages} == {whole.span_id}
    moments = [whole.start_time_unix_nano, *(stage.end_time_unix_nano for stage in stages), whole.end_time_unix_nano]
    assert [stage.start_time_unix_nano for stage in stages] == moments[:3], "one stage begins where the last ended"
    assert moments == sorted(moments)
    assert attributes(whole) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "drillyard.request_id": "q-7",
        "drillyard.model": "fraud",
        "drillyard.version": 1,
    }
    assert attributes(stages[0]) == {"drillyard.rows": 2}
    queued_ms = (stages[1].end_time_unix_nano - stages[1].start_time_unix_nano) / 1e6
    assert (queued_ms >= 15) == (offload_s < 0), "it waited for company, and the queue's span says so"
    resource = attributes(collector.requests[0].resource_spans[0].resource)
    assert resource["service.name"] == "yard"
    assert resource["service.instance.id"].startswith("replica fraud ")
    assert b"987654" not in b"".join(request.SerializeToString() for request in collector.requests)


class Failing:
    """A graph that fails."""

    row_time_s = 0.0

    def __init__(self, card: ModelCard) -> None:
        self.card = card

    def predict(self, inputs: Any, outputs: Any) -> Any:
        raise RuntimeError("the graph failed")


def test_a_failure_is_marked(cards: dict[str, ModelCard], tracer: Tracer, collector: Collector) -> None:
    assert infer(Failing(cards["fraud"]), tracer).status == 500
    spans = flushed(tracer, collector)
    assert spans["infer"].status.code == spans["infer"].status.STATUS_CODE_ERROR
    assert attributes(spans["infer"])["http.response.status_code"] == 500


def test_what_the_caller_does_not_sample_is_not_traced(
    predictors: dict[str, Predictor], tracer: Tracer, collector: Collector
) -> None:
    fields = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-00"}
    assert infer(predictors["fraud"], tracer, fields=fields).status == 200
    assert flushed(tracer, collector) == {}


def test_a_deadline_that_passed_in_the_queue_shows_no_inference(
    predictors: dict[str, Predictor], tracer: Tracer, collector: Collector
) -> None:
    batching = Batching(offload_s=-1.0, max_wait_s=0.05)
    assert infer(predictors["fraud"], tracer, fields={"x-request-timeout-ms": "10"}, batching=batching).status == 504
    assert set(flushed(tracer, collector)) == {"infer", "decode", "queue"}


def test_without_a_collector_nothing_is_wrapped(predictors: dict[str, Predictor]) -> None:
    assert tracer_of({"OTEL_SERVICE_NAME": "yard", ENDPOINTS[0]: ""}, "replica fraud") is None
    engine, app = Engine(predictors["fraud"], MeasuringFake(), Batching()), object()
    assert traced_engine(engine, None) is engine
    assert traced_app(app, None) is app  # type: ignore[comparison-overlap, arg-type]
    assert infer(predictors["fraud"], None).status == 200


def test_other_kinds_of_connection_pass(tracer: Tracer) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(traced_app(app, tracer)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"]
