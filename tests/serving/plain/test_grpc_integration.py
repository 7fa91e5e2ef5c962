"""The real server over gRPC, asked by Triton's client, and by plain calls where that client is too polite."""

import gzip
import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from drillyard.core import processes
from serving.grpc import open_inference_pb2 as pb
from serving.recipes import FRONT, laptop
from serving.state import ServerState
from tests.support import sockets, tiny_models

pytestmark = pytest.mark.integration

STRAIGHT: dict[str, str] = {}  # the clients of the protocol say nothing: HAProxy reads the model's name
WAYS = {"unsaid": STRAIGHT, "by application": {"application": "MODEL"}, "through the front": {"application": FRONT}}


@pytest.fixture(scope="module")
def client(server: ServerState) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.grpc_address) as found:
        yield found


@pytest.fixture(scope="module")
def channel(server: ServerState) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc_address or "") as found:
        yield found


def call(channel: grpc.Channel, method: str, request: Any, response: Any, **options: Any) -> Any:
    return channel.unary_unary(
        f"/inference.GRPCInferenceService/{method}",
        request_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
        response_deserializer=response.FromString,
    )(request, timeout=20, **options)


def refused(action: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        action()
    return caught.value.code(), caught.value.details()


def way_to(model: str, way: str) -> dict[str, str]:
    return {key: value.replace("MODEL", model) for key, value in WAYS[way].items()}


def fraud_input(rows: int) -> tuple[Any, triton.InferInput]:
    features = np.random.default_rng(rows).normal(size=(rows, 29)).astype(np.float32)
    tensor = triton.InferInput("features", list(features.shape), "FP32")
    tensor.set_data_from_numpy(features)
    return features, tensor


def typed_request(features: Any) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="fraud", id="typed")
    tensor = request.inputs.add(name="features", datatype="FP32", shape=features.shape)
    tensor.contents.fp32_contents.extend(features.ravel().tolist())
    return request


def answered_by(server: ServerState, model: str) -> float:
    """How many requests this model's replicas have answered with 200."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as response:
        text = response.read().decode()
    lines = re.findall(r"^drillyard_requests_total{(.*)} (\S+)$", text, re.MULTILINE)
    return sum(float(value) for labels, value in lines if f'model="{model}"' in labels and 'code="200"' in labels)


def front_calls(server: ServerState) -> float:
    """How many ModelInfer calls the front has seen."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as response:
        text = response.read().decode()
    return sum(
        float(v) for v in re.findall(r'^drillyard_front_requests_total{.*"ModelInfer".*} (\S+)$', text, re.MULTILINE)
    )


def test_health(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    for model in ("fraud", "vision"):
        assert client.is_model_ready(model)
        assert client.is_model_ready(model, "1")
        assert client.is_model_ready(model, headers={"application": model})


def test_metadata_is_that_of_the_http_routes(server: ServerState, client: triton.InferenceServerClient) -> None:
    def http(path: str) -> Any:
        with urllib.request.urlopen(server.url + path, timeout=10) as response:
            return json.load(response)

    of_server = client.get_server_metadata(as_json=True)
    assert of_server | {"extensions": http("/v2")["extensions"]} == http("/v2")
    for model in ("fraud", "vision"):
        found, expected = client.get_model_metadata(model), http(f"/v2/models/{model}")
        for key in ("inputs", "outputs"):
            tensors = [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in getattr(found, key)]
            assert tensors == expected[key]
        assert (found.name, list(found.versions), found.platform) == (model, ["1"], expected["platform"])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rows", [1, 2000])  # 2,000 rows are more than HAProxy can hold of a body
def test_infer_fraud(client: triton.InferenceServerClient, way: str, rows: int) -> None:
    features, tensor = fraud_input(rows)
    result = client.infer("fraud", [tensor], request_id="q", headers=way_to("fraud", way))
    assert (result.get_response().id, result.get_response().model_version) == ("q", "1")
    for name, expected in zip(("score", "is_fraud", "reasons"), tiny_models.expected_fraud(features), strict=True):
        np.testing.assert_allclose(result.as_numpy(name), expected, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_infer_vision(client: triton.InferenceServerClient, way: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 32, 20, 3), dtype=np.uint8)
    tensor = triton.InferInput("image", list(image.shape), "UINT8")
    tensor.set_data_from_numpy(image)
    wanted = [triton.InferRequestedOutput("label")]
    result = client.infer("vision", [tensor], outputs=wanted, headers=way_to("vision", way))
    assert [output.name for output in result.get_response().outputs] == ["label"]
    assert result.as_numpy("label").tolist() == tiny_models.expected_vision(image)[1].tolist()


@pytest.mark.parametrize("way", WAYS)
def test_typed_contents_are_answered_in_typed_contents(channel: grpc.Channel, way: str) -> None:
    features = np.random.default_rng(3).normal(size=(3, 29)).astype(np.float32)
    metadata = tuple(way_to("fraud", way).items())
    response = call(channel, "ModelInfer", typed_request(features), pb.ModelInferResponse, metadata=metadata)
    assert (response.id, len(response.raw_output_contents)) == ("typed", 0)
    score, is_fraud, reasons = tiny_models.expected_fraud(features)
    outputs = {output.name: output.contents for output in response.outputs}
    np.testing.assert_allclose(outputs["score"].fp32_contents, score, atol=1e-6)
    assert list(outputs["is_fraud"].bool_contents) == is_fraud.tolist()
    np.testing.assert_allclose(np.array(outputs["reasons"].fp32_contents).reshape(3, 29), reasons, atol=1e-6)


def test_the_model_is_reached_without_the_front_unless_the_message_cannot_be_read(
    server: ServerState, client: triton.InferenceServerClient
) -> None:
    """By what each process has counted; also for a message far larger than HAProxy's buffer."""
    before, through_front = answered_by(server, "fraud"), front_calls(server)
    for rows in (1, 2000):
        client.infer("fraud", [fraud_input(rows)[1]])
    assert (answered_by(server, "fraud") - before, front_calls(server) - through_front) == (2, 0)
    tensor = triton.InferInput("features", [9, 29], "FP32")
    tensor.set_data_from_numpy(
        np.zeros((9, 29), np.float32)
    )  # worth compressing; gRPC sends other messages as they are
    client.infer("fraud", [tensor], compression_algorithm="gzip")
    assert (answered_by(server, "fraud") - before, front_calls(server) - through_front) == (3, 1)


@pytest.mark.parametrize("way", ["unsaid", "through the front"])
def test_an_unknown_model_is_not_found(client: triton.InferenceServerClient, way: str) -> None:
    headers = way_to("colour", way)
    for ask in (
        lambda: client.infer("colour", [fraud_input(1)[1]], headers=headers),
        lambda: client.get_model_metadata("colour", headers=headers),
        lambda: client.is_model_ready("colour", headers=headers),
    ):
        with pytest.raises(InferenceServerException) as caught:
            ask()
        assert caught.value.status() == "StatusCode.NOT_FOUND"
        assert caught.value.message() == "there is no model 'colour' here; expected one of fraud, vision"


def test_an_unknown_application_or_version_is_not_found(client: triton.InferenceServerClient) -> None:
    for options in ({"headers": {"application": "colour"}}, {"model_version": "7"}):
        with pytest.raises(InferenceServerException) as caught:
            client.infer("fraud", [fraud_input(1)[1]], **options)
        assert caught.value.status() == "StatusCode.NOT_FOUND"
    assert caught.value.message() == "model fraud has no version '7' here; expected 1"


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_shape_is_an_invalid_argument(channel: grpc.Channel, way: str) -> None:
    request = typed_request(np.zeros((1, 28), np.float32))
    metadata = tuple(way_to("fraud", way).items())
    code, details = refused(lambda: call(channel, "ModelInfer", request, pb.ModelInferResponse, metadata=metadata))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details == "inputs[features].shape=[1, 28] is not valid; expected [any, 29]"


def test_a_message_larger_than_a_body_may_be_is_refused_and_one_as_large_is_forwarded(channel: grpc.Channel) -> None:
    """Through the front too, where Serve's own limit between deployments is 4 MiB."""
    limit = laptop("fraud").max_body_bytes
    image = np.zeros((1, limit // 3000 - 10, 1000, 3), np.uint8)
    for way in ("unsaid", "through the front"):
        request = pb.ModelInferRequest(model_name="vision", raw_input_contents=[image.tobytes()])
        request.inputs.add(name="image", datatype="UINT8", shape=image.shape)
        metadata = tuple(way_to("vision", way).items())
        response = call(channel, "ModelInfer", request, pb.ModelInferResponse, metadata=metadata)
        assert np.frombuffer(response.raw_output_contents[1], np.int64).tolist() == [0]
        request.raw_input_contents[0] += bytes(limit)
        code, _ = refused(lambda: call(channel, "ModelInfer", request, pb.ModelInferResponse, metadata=metadata))  # noqa: B023
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_what_is_no_message_and_what_is_no_method_is_refused(server: ServerState, channel: grpc.Channel) -> None:
    code, _ = refused(lambda: call(channel, "ModelInfer", gzip.compress(b"x" * 100), pb.ModelInferResponse))
    assert code is grpc.StatusCode.UNKNOWN  # gRPC's own answer to bytes it cannot deserialise
    assert refused(lambda: call(channel, "ModelTrain", b"", pb.ModelInferResponse))[0] is grpc.StatusCode.UNIMPLEMENTED
    for path in ("/ray.serve.RayServeAPIService/ListApplications", "/grpc.reflection.v1alpha.ServerReflection/X"):
        code, details = refused(lambda: channel.unary_unary(path)(b"", timeout=20))  # noqa: B023
        assert code is grpc.StatusCode.UNIMPLEMENTED, path
        assert "there is no such method" in details


def test_nothing_listens_beyond_loopback(server: ServerState) -> None:
    """HAProxy's port, a gRPC port of each replica and the fallback proxy's, among all others."""
    found = sockets.listening([server.pid, *processes.belonging_to(server.run_dir)])
    assert [each for each in found if not each.loopback] == []
    ports = {each.port for each in found}
    assert int((server.grpc_address or "").rpartition(":")[2]) in ports
    assert len([port for port in ports if 40000 <= port < 40100]) >= 3, "two models' replicas and the front's"
