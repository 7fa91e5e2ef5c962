"""Spans as a collector receives them, over real OTLP; and no wrapper at all when no collector is named."""

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import orjson
import pytest
from opentelemetry.trace import INVALID_SPAN, Tracer, use_span

from drillyard.core.contract import ModelCard
from serving.engine import Engine
from serving.grpc import open_inference_pb2 as pb
from serving.grpc.model import ModelService
from serving.grpc.service import Rpc
from serving.grpc.tracing import traced_rpc
from serving.predictor import Predictor
from serving.protocol.routes import ModelRoutes
from serving.recipes import Batching
from serving.tracing import ENDPOINTS, carrier, traced_answer, traced_app, traced_engine, tracer_of
from tests.serving.conftest import MeasuringFake, Reply, call_app
from tests.serving.test_grpc_service import ContextFake
from tests.support.collector import Collector, attributes
from tests.support.tiny_models import FEATURES

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


class NotCounting:
    def begin(self) -> float:
        return 0.0

    def end(self, began: float, code: int) -> None:
        assert 200 <= code < 600


def infer(predictor: Any, tracer: Tracer | None, *, fields: Any = (), batching: Batching | None = None) -> Reply:
    """One request of two rows through the whole replica's app, with a caller's own trace around it."""

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

    byte_time_s = 0.0

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


def test_a_forwarded_request_goes_on_with_the_fronts_trace(
    predictors: dict[str, Predictor], tracer: Tracer, collector: Collector
) -> None:
    routes = ModelRoutes(
        traced_engine(Engine(predictors["fraud"], MeasuringFake(), Batching()), tracer),
        NotCounting(),
        max_body_bytes=10_000,
        max_rows=64,
        max_pixels=10_000,
    )

    async def front(scope: Any, receive: Any, send: Any) -> None:
        fields = orjson.dumps(dict.fromkeys(FEATURES, 0.0))
        sent = carrier()
        with use_span(INVALID_SPAN):  # the replica is another process
            status, _ = await traced_answer(routes.ask("application/json", fields), tracer, "infer", sent)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    headers = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
    assert call_app(traced_app(front, tracer), "POST", "/predict/fraud", b"", headers).status == 200
    spans = flushed(tracer, collector)
    assert set(spans) == {"predict", "infer", "decode", "queue", "inference"}
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE_ID}
    assert spans["predict"].parent_span_id.hex() == PARENT_ID
    assert spans["infer"].parent_span_id == spans["predict"].span_id
    assert spans["inference"].parent_span_id == spans["infer"].span_id
    assert attributes(spans["infer"])["http.response.status_code"] == 200
    assert carrier() == {}


@pytest.mark.parametrize(
    ("name", "code"), [("fraud", grpc.StatusCode.OK), ("colour", grpc.StatusCode.NOT_FOUND)], ids=["right", "wrong"]
)
def test_a_grpc_call_is_a_trace_of_its_stages(
    predictors: dict[str, Predictor], tracer: Tracer, collector: Collector, name: str, code: grpc.StatusCode
) -> None:
    engine = traced_engine(Engine(predictors["fraud"], MeasuringFake(), Batching()), tracer)
    service = ModelService(engine, NotCounting(), max_rows=64, server_version="1")
    request = pb.ModelInferRequest(model_name=name, raw_input_contents=[bytes(2 * 29 * 4)])
    request.inputs.add(name="features", datatype="FP32", shape=[2, 29])
    context = ContextFake(traceparent=f"00-{TRACE_ID}-{PARENT_ID}-01", x_request_id="q-8")
    asyncio.run(traced_rpc(Rpc(service, None, print), tracer)("ModelInfer", request, context))
    spans = flushed(tracer, collector)
    right = code is grpc.StatusCode.OK
    assert set(spans) == ({"infer", "decode", "queue", "inference"} if right else {"infer"})
    assert (spans["infer"].trace_id.hex(), spans["infer"].parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert spans["infer"].status.code == spans["infer"].status.STATUS_CODE_UNSET
    of_model = {"drillyard.model": "fraud", "drillyard.version": 1} if right else {}
    assert attributes(spans["infer"]) == of_model | {
        "rpc.system": "grpc",
        "rpc.method": "ModelInfer",
        "rpc.grpc.status_code": code.value[0],
        "drillyard.request_id": "q-8",
    }


def test_a_grpc_failure_of_ours_is_marked(cards: dict[str, ModelCard], tracer: Tracer, collector: Collector) -> None:
    service = ModelService(
        Engine(Failing(cards["fraud"]), MeasuringFake(), Batching()), NotCounting(), max_rows=64, server_version="1"
    )
    request = pb.ModelInferRequest(model_name="fraud", raw_input_contents=[bytes(29 * 4)])
    request.inputs.add(name="features", datatype="FP32", shape=[1, 29])
    asyncio.run(traced_rpc(Rpc(service, None, print), tracer)("ModelInfer", request, ContextFake()))
    span = flushed(tracer, collector)["infer"]
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert attributes(span)["rpc.grpc.status_code"] == grpc.StatusCode.INTERNAL.value[0]


def test_without_a_collector_nothing_is_wrapped(predictors: dict[str, Predictor]) -> None:
    assert tracer_of({"OTEL_SERVICE_NAME": "yard", ENDPOINTS[0]: ""}, "replica fraud") is None
    engine, app = Engine(predictors["fraud"], MeasuringFake(), Batching()), object()
    assert traced_engine(engine, None) is engine
    rpc = Rpc(None, None, print)  # type: ignore[arg-type]
    assert traced_rpc(rpc, None) is rpc
    assert traced_app(app, None) is app  # type: ignore[comparison-overlap, arg-type]
    assert infer(predictors["fraud"], None).status == 200


def test_other_kinds_of_connection_pass(tracer: Tracer) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(traced_app(app, tracer)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"]
