"""The service's logic without Ray or a network: model, front, keys, failures; and the interface itself."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from serving.engine import Engine
from serving.grpc import open_inference_pb2 as pb
from serving.grpc.front import FrontService
from serving.grpc.generate import PROTO, generate
from serving.grpc.model import ModelService
from serving.grpc.service import METHODS, OPEN_METHODS, InferenceService, Rpc, add_to_server
from serving.predictor import Predictor
from serving.protocol.errors import RequestError
from serving.recipes import Batching
from tests.serving.conftest import MeasuringFake
from tests.serving.test_routes import CountingFake
from tests.support.tiny_models import expected_fraud


class ContextFake:
    """Serve's context of one call."""

    def __init__(self, **metadata: str | bytes) -> None:
        self.metadata = [(key.replace("_", "-"), value) for key, value in metadata.items()]
        self.status: grpc.StatusCode | None = None
        self.details = ""

    def invocation_metadata(self) -> list[tuple[str, str | bytes]]:
        return self.metadata

    def set_code(self, code: grpc.StatusCode) -> None:
        self.status = code

    def code(self) -> grpc.StatusCode | None:
        return self.status

    def set_details(self, details: str) -> None:
        self.details = details


def fraud_request(rows: int = 2) -> tuple[pb.ModelInferRequest, Any]:
    features = np.random.default_rng(rows).normal(size=(rows, 29)).astype(np.float32)
    request = pb.ModelInferRequest(model_name="fraud", id="q", raw_input_contents=[features.tobytes()])
    request.inputs.add(name="features", datatype="FP32", shape=features.shape)
    return request, features


@pytest.fixture
def counted() -> CountingFake:
    return CountingFake()


@pytest.fixture
def model(predictors: dict[str, Predictor], counted: CountingFake) -> ModelService:
    return ModelService(
        Engine(predictors["fraud"], MeasuringFake(), Batching()), counted, max_rows=64, server_version="9"
    )


def answer(service: Any, method: str, request: Any) -> Any:
    return asyncio.run(service.answer(method, request))


def test_a_model_answers_what_numpy_says_and_is_counted_once(model: ModelService, counted: CountingFake) -> None:
    request, features = fraud_request()
    response = answer(model, "ModelInfer", request)
    score, is_fraud, _ = expected_fraud(features)
    np.testing.assert_allclose(np.frombuffer(response.raw_output_contents[0], np.float32), score, atol=1e-6)
    assert np.frombuffer(response.raw_output_contents[1], np.bool_).tolist() == is_fraud.tolist()
    assert (response.id, response.model_version, counted.codes, counted.open) == ("q", "1", [200], 0)


def test_a_model_answers_for_itself_and_for_the_server(model: ModelService, counted: CountingFake) -> None:
    assert answer(model, "ModelReady", pb.ModelReadyRequest(name="fraud", version="1")).ready
    metadata = answer(model, "ModelMetadata", pb.ModelMetadataRequest(name="fraud"))
    assert [(t.name, t.datatype, list(t.shape)) for t in metadata.inputs] == [("features", "FP32", [-1, 29])]
    assert counted.codes == [200, 200]
    assert answer(model, "ServerLive", pb.ServerLiveRequest()).live
    assert answer(model, "ServerReady", pb.ServerReadyRequest()).ready
    server = answer(model, "ServerMetadata", pb.ServerMetadataRequest())
    assert (server.name, server.version) == ("drillyard", "9")


@pytest.mark.parametrize(
    ("method", "request_", "status", "words"),
    [
        ("ModelReady", pb.ModelReadyRequest(name="vision"), 404, "there is no model 'vision' here; expected fraud"),
        ("ModelMetadata", pb.ModelMetadataRequest(name="fraud", version="2"), 404, "no version '2' here"),
        ("ModelInfer", pb.ModelInferRequest(model_name="fraud"), 400, "inputs[features] is missing"),
        ("ModelInfer", pb.ModelInferRequest(), 404, "there is no model ''"),
    ],
)
def test_wrong_calls_are_named_and_counted(
    model: ModelService, counted: CountingFake, method: str, request_: Any, status: int, words: str
) -> None:
    with pytest.raises(RequestError, match=words.replace("[", r"\[")):
        answer(model, method, request_)
    assert (counted.codes, counted.open) == ([status], 0)


class ModelsFake:
    """What the front knows of the replicas: one model, whose replica is a real ModelService."""

    def __init__(self, model: ModelService) -> None:
        self.model = model
        self.missing: list[str] = []

    async def not_ready(self) -> list[str]:
        return self.missing

    async def call(self, model: str, method: str, *arguments: Any) -> Any:
        assert method == "rpc"
        if model != "fraud":
            raise RequestError(404, f"there is no model {model!r} here; expected one of fraud")
        return await self.model.answer_forwarded(*arguments)


class FrontMetricsFake:
    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def answered(self, route: str, code: int) -> None:
        self.seen.append((route, code))


def test_the_front_forwards_what_is_about_a_model(model: ModelService) -> None:
    models, metrics = ModelsFake(model), FrontMetricsFake()
    front = FrontService(models, metrics, server_version="9")
    request, _ = fraud_request()
    assert answer(front, "ModelInfer", request) == answer(model, "ModelInfer", request)
    assert answer(front, "ModelReady", pb.ModelReadyRequest(name="fraud")).ready
    assert answer(front, "ModelMetadata", pb.ModelMetadataRequest(name="fraud")).name == "fraud"
    with pytest.raises(RequestError, match="no version '2'") as caught:
        answer(front, "ModelReady", pb.ModelReadyRequest(name="fraud", version="2"))
    assert caught.value.status == 404
    with pytest.raises(RequestError, match="there is no model 'colour'"):
        answer(front, "ModelInfer", pb.ModelInferRequest(model_name="colour"))
    assert metrics.seen[0] == ("ModelInfer", 200)
    assert metrics.seen[-2:] == [("ModelReady", 404), ("ModelInfer", 404)]
    assert answer(front, "ServerReady", pb.ServerReadyRequest()).ready
    models.missing = ["fraud"]
    assert not answer(front, "ServerReady", pb.ServerReadyRequest()).ready


class Raising:
    """A service that fails as it is told."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def answer(self, method: str, request: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "details"),
    [
        (RequestError(400, "a"), grpc.StatusCode.INVALID_ARGUMENT, "a"),
        (RequestError(404, "b"), grpc.StatusCode.NOT_FOUND, "b"),
        (RequestError(413, "c"), grpc.StatusCode.INVALID_ARGUMENT, "c"),
        (RequestError(503, "d"), grpc.StatusCode.UNAVAILABLE, "d"),
        (RequestError(504, "e"), grpc.StatusCode.DEADLINE_EXCEEDED, "e"),
        (RequestError(500, "f"), grpc.StatusCode.INTERNAL, "f"),
        (KeyError("secret"), grpc.StatusCode.INTERNAL, "the server failed; its log says why"),
    ],
)
def test_failures_become_status_and_text(error: Exception, code: grpc.StatusCode, details: str) -> None:
    context = ContextFake()
    response = asyncio.run(Rpc(Raising(error), None, print)("ModelInfer", pb.ModelInferRequest(), context))
    assert response == pb.ModelInferResponse()
    assert (context.status, context.details) == (code, details)


def test_a_caller_that_leaves_is_counted_and_its_call_stays_cancelled(
    model: ModelService, counted: CountingFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> Any:
        raise asyncio.CancelledError

    monkeypatch.setattr(model._engine, "infer", never)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(Rpc(model, None, print)("ModelInfer", fraud_request()[0], ContextFake()))
    assert counted.codes == [499]


class KeysFake:
    def authorised(self, headers: Any) -> str | None:
        return "alice" if (b"authorization", b"Bearer good") in list(headers) else None


def test_keys_are_asked_for_by_every_method_but_live_and_ready(model: ModelService) -> None:
    refused: list[int] = []
    rpc = Rpc(model, KeysFake(), refused.append)
    requests = {"ModelInfer": fraud_request()[0], "ModelReady": pb.ModelReadyRequest(name="fraud")}
    requests["ModelMetadata"] = pb.ModelMetadataRequest(name="fraud")
    for method, (request, _) in METHODS.items():
        for metadata, admitted in (
            ({}, method in OPEN_METHODS),
            ({"authorization": "Bearer bad", "some_bin": b"\xff"}, method in OPEN_METHODS),
            ({"authorization": "Bearer good"}, True),
        ):
            context = ContextFake(**metadata)
            asyncio.run(rpc(method, requests.get(method, request()), context))
            assert context.status == (None if admitted else grpc.StatusCode.UNAUTHENTICATED), (method, metadata)
    assert refused == [401] * 8  # four methods, without a key and with a wrong one


def test_serve_finds_every_method_by_name_with_its_context(model: ModelService) -> None:
    class Deployment(InferenceService):
        def __init__(self) -> None:
            self._rpc = Rpc(model, None, print)

    class ServerFake:
        handlers: Any = None

        def add_generic_rpc_handlers(self, handlers: Any) -> None:
            self.handlers = handlers[0]._method_handlers

    server = ServerFake()
    add_to_server(Deployment(), server)
    assert set(server.handlers) == {f"/inference.GRPCInferenceService/{method}" for method in METHODS}
    request, features = fraud_request()
    response = asyncio.run(Deployment().ModelInfer(request, grpc_context=ContextFake()))
    assert np.frombuffer(response.raw_output_contents[0], np.float32).shape == (len(features),)


def test_the_generated_module_is_what_the_proto_says(tmp_path: Path) -> None:
    """`make proto` would change nothing."""
    generate(tmp_path)
    for suffix in ("py", "pyi"):
        committed = PROTO.with_name(f"open_inference_pb2.{suffix}")
        assert (tmp_path / "serving" / "grpc" / committed.name).read_text() == committed.read_text()


def test_names_numbers_and_types_are_those_of_tritons_client() -> None:
    """Triton's messages hold all of ours but one, and more; both can be loaded into one process."""
    from tritonclient.grpc import service_pb2

    def fields(message: Any) -> dict[str, tuple[int, int, bool]]:
        return {f.name: (f.number, f.type, f.is_repeated) for f in message.fields}

    def compare(ours: Any, theirs: Any) -> None:
        expected, nested = fields(ours), dict(ours.nested_types_by_name)
        if ours.name == "ModelMetadataResponse":  # the specification has this map, Triton has not
            assert expected.pop("properties") == (6, 11, True)
            nested.pop("PropertiesEntry")
        assert expected.items() <= fields(theirs).items(), ours.full_name
        for name, message in nested.items():
            compare(message, theirs.nested_types_by_name[name])

    for name, message in pb.DESCRIPTOR.message_types_by_name.items():
        compare(message, service_pb2.DESCRIPTOR.message_types_by_name[name])
    service = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
        twin = service.methods_by_name[method.name]
        assert (method.input_type.full_name, method.output_type.full_name) == (
            twin.input_type.full_name,
            twin.output_type.full_name,
        )
