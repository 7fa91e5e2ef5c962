"""A model's routes as an ASGI app over a real ONNX session, without Ray or a network."""

import asyncio
import gzip
import threading
import zlib
from typing import Any

import numpy as np
import orjson
import pytest

from drillyard.core.contract import ModelCard
from serving.bench.pictures import encode, noise
from serving.engine import Engine
from serving.predictor import Predictor
from serving.protocol import images, openapi
from serving.protocol.asgi import CLIENT_CLOSED_REQUEST
from serving.protocol.errors import RequestError
from serving.protocol.routes import ModelRoutes
from serving.recipes import Batching
from tests.serving.conftest import MeasuringFake, call_app
from tests.support.tiny_models import FEATURES, expected_fraud, expected_vision

MAX_BODY = 10_000


class CountingFake:
    """Metrics that assert each request begins and ends once."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.open = 0

    def begin(self) -> float:
        self.open += 1
        return 1.5

    def end(self, began: float, code: int) -> None:
        assert began == 1.5
        self.open -= 1
        self.codes.append(code)


def routes_of(predictor: Any) -> tuple[ModelRoutes, CountingFake]:
    counting = CountingFake()
    routes = ModelRoutes(
        Engine(predictor, MeasuringFake(), Batching()),
        counting,
        max_body_bytes=MAX_BODY,
        max_rows=64,
        max_pixels=10_000,
    )
    return routes, counting


def fraud_request(rows: int = 1) -> tuple[bytes, Any]:
    features = np.random.default_rng(0).normal(size=(rows, 29)).astype(np.float32)
    tensor = {"name": "features", "datatype": "FP32", "shape": [rows, 29], "data": features.ravel().tolist()}
    return orjson.dumps({"id": "r1", "inputs": [tensor]}), features


@pytest.mark.parametrize("path", ["/v2/models/fraud/infer", "/v2/models/fraud/versions/1/infer"])
@pytest.mark.parametrize("chunk_bytes", [None, 100])
def test_infer_answers_what_numpy_says(predictors: dict[str, Predictor], path: str, chunk_bytes: int | None) -> None:
    routes, counting = routes_of(predictors["fraud"])
    body, features = fraud_request(rows=3)
    reply = call_app(routes, "POST", path, body, chunk_bytes=chunk_bytes)
    assert reply.status == 200
    assert reply.json["id"] == "r1"
    outputs = {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in reply.json["outputs"]}
    for name, expected in zip(("score", "is_fraud", "reasons"), expected_fraud(features), strict=True):
        np.testing.assert_allclose(outputs[name], expected, atol=1e-6)
    assert (counting.codes, counting.open) == ([200], 0)


def test_vision_takes_any_height_and_width(predictors: dict[str, Predictor]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 9, 3), dtype=np.uint8)
    tensor = {"name": "image", "datatype": "UINT8", "shape": [2, 5, 9, 3], "data": image.tolist()}
    body = orjson.dumps({"inputs": [tensor], "outputs": [{"name": "label"}]})
    reply = call_app(routes_of(predictors["vision"])[0], "POST", "/v2/models/vision/infer", body)
    assert [o["name"] for o in reply.json["outputs"]] == ["label"]
    assert reply.json["outputs"][0]["data"] == expected_vision(image)[1].tolist()


def test_metadata_and_ready(predictors: dict[str, Predictor]) -> None:
    routes, _ = routes_of(predictors["fraud"])
    for root in ("/v2/models/fraud", "/v2/models/fraud/versions/1"):
        metadata = call_app(routes, "GET", root).json
        assert metadata["versions"] == ["1"]
        assert metadata["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 29]}]
        assert call_app(routes, "GET", f"{root}/ready").status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v2/models/fraud/infer", 405, "use POST"),
        ("POST", "/v2/models/fraud", 405, "use GET"),
        ("DELETE", "/v2/models/fraud/ready", 405, "use GET"),
        ("POST", "/v2/models/fraud/versions/2/infer", 404, "no version '2' here; expected 1"),
        ("GET", "/v2/models/fraud/versions/", 404, "no version ''"),
        ("GET", "/v2/models/fraud/versions/1/nothing", 404, "there is no route"),
        ("GET", "/v2/models/fraud/nothing", 404, "there is no route"),
        ("POST", "/v2/models/fraud/infer", 400, "the body is empty"),
    ],
)
def test_wrong_calls_are_named(
    predictors: dict[str, Predictor], method: str, path: str, status: int, words: str
) -> None:
    routes, counting = routes_of(predictors["fraud"])
    reply = call_app(routes, method, path)
    assert (reply.status, counting.codes) == (status, [status])
    assert words in reply.json["error"]
    if status == 405:
        assert reply.headers["allow"] in ("GET", "POST")


def test_a_large_body_is_refused_unread_when_announced_and_early_when_not(predictors: dict[str, Predictor]) -> None:
    routes, _ = routes_of(predictors["fraud"])
    for headers in ({"content-length": str(100 * 2**20)}, {}):
        reply = call_app(routes, "POST", "/v2/models/fraud/infer", b" " * (MAX_BODY + 1), headers, chunk_bytes=1000)
        assert reply.status == 413
        assert str(MAX_BODY) in reply.json["error"]


def binary_fraud_request(rows: int, **request: Any) -> tuple[bytes, dict[str, str], Any]:
    """Body and header of a request whose tensor follows its JSON."""
    _, features = fraud_request(rows)
    parameters = {"binary_data_size": features.nbytes}
    tensor = {"name": "features", "datatype": "FP32", "shape": [rows, 29], "parameters": parameters}
    head = orjson.dumps({"id": "r1", "inputs": [tensor]} | request)
    return head + features.tobytes(), {"Inference-Header-Content-Length": str(len(head))}, features


def test_binary_tensors_both_ways(predictors: dict[str, Predictor]) -> None:
    outputs = [{"name": "reasons", "parameters": {"binary_data": True}}, {"name": "score"}]
    body, headers, features = binary_fraud_request(4, outputs=outputs)
    reply = call_app(routes_of(predictors["fraud"])[0], "POST", "/v2/models/fraud/infer", body, headers)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/octet-stream")
    json_bytes = int(reply.headers["inference-header-content-length"])
    document = orjson.loads(reply.body[:json_bytes])
    score, _, expected_reasons = expected_fraud(features)
    reasons = np.frombuffer(reply.body[json_bytes:], dtype=np.float32).reshape(4, 29)
    np.testing.assert_allclose(reasons, expected_reasons, atol=1e-6)
    np.testing.assert_allclose(document["outputs"][1]["data"], score, atol=1e-6)


def test_binary_input_alone_is_answered_in_json(predictors: dict[str, Predictor]) -> None:
    body, headers, features = binary_fraud_request(2)
    reply = call_app(routes_of(predictors["fraud"])[0], "POST", "/v2/models/fraud/infer", body, headers)
    assert reply.headers["content-type"] == "application/json"
    assert "inference-header-content-length" not in reply.headers
    np.testing.assert_allclose(reply.json["outputs"][0]["data"], expected_fraud(features)[0], atol=1e-6)


@pytest.mark.parametrize("value", ["0", "-1", "+5", "1e3", " 7", "x", "10000000", "9" * 5000, "\u00b2"])
def test_a_wrong_length_of_the_json_is_named(predictors: dict[str, Predictor], value: str) -> None:
    body, _, _ = binary_fraud_request(1)
    routes, _ = routes_of(predictors["fraud"])
    headers = {"Inference-Header-Content-Length": value}
    reply = call_app(routes, "POST", "/v2/models/fraud/infer", body, headers)
    assert reply.status == 400
    assert "header Inference-Header-Content-Length=" in reply.json["error"]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("chunk_bytes", [None, 10])
def test_compressed_bodies_are_understood(
    predictors: dict[str, Predictor], coding: str, chunk_bytes: int | None
) -> None:
    body, headers, features = binary_fraud_request(3)
    packed = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    headers["content-encoding"] = coding
    routes, _ = routes_of(predictors["fraud"])
    reply = call_app(routes, "POST", "/v2/models/fraud/infer", packed, headers, chunk_bytes=chunk_bytes)
    np.testing.assert_allclose(reply.json["outputs"][0]["data"], expected_fraud(features)[0], atol=1e-6)


def test_compressed_bodies_are_bounded_and_other_codings_refused(predictors: dict[str, Predictor]) -> None:
    routes, _ = routes_of(predictors["fraud"])

    def status(body: bytes, coding: str) -> int:
        return call_app(routes, "POST", "/v2/models/fraud/infer", body, {"content-encoding": coding}).status

    body, _ = fraud_request()
    assert status(gzip.compress(bytes(100 * MAX_BODY)), "gzip") == 413
    assert status(body, "gzip") == 400
    assert status(gzip.compress(body)[:-1], "gzip") == 400
    assert [status(body, coding) for coding in ("br", "gzip, gzip", "zstd")] == [415] * 3


class FailingFake:
    """A predictor whose graph fails, in the way it is told."""

    byte_time_s = 0.0

    def __init__(self, card: ModelCard, error: Exception) -> None:
        self.card, self.error = card, error

    def predict(self, inputs: dict[str, Any], outputs: tuple[str, ...]) -> dict[str, Any]:
        assert inputs["features"].shape == (1, 29)
        assert outputs == ("score", "is_fraud", "reasons")
        raise self.error


@pytest.mark.parametrize("error", [RequestError(500, "the graph failed"), RuntimeError("a bug"), KeyError("x")])
def test_a_failure_of_ours_is_a_500_in_json(cards: dict[str, ModelCard], error: Exception) -> None:
    routes, counting = routes_of(FailingFake(cards["fraud"], error))
    reply = call_app(routes, "POST", "/v2/models/fraud/infer", fraud_request()[0])
    assert (reply.status, counting.codes) == (500, [500])
    assert "a bug" not in reply.json["error"]


def test_a_client_that_leaves_is_counted_and_not_answered(predictors: dict[str, Predictor]) -> None:
    routes, counting = routes_of(predictors["fraud"])
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        raise AssertionError(f"nobody is there to be sent {message}")

    scope = {"type": "http", "method": "POST", "path": "/v2/models/fraud/infer", "headers": []}
    asyncio.run(routes(scope, receive, send))
    assert counting.codes == [CLIENT_CLOSED_REQUEST]


def test_people_are_answered_by_name(predictors: dict[str, Predictor]) -> None:
    routes, counting = routes_of(predictors["fraud"])
    fields = dict.fromkeys(FEATURES, 0.0) | {"V7": 99.0}
    status, body = asyncio.run(routes.ask("application/json", orjson.dumps(fields)))
    assert status == 200
    assert orjson.loads(body)["is_fraud"] is True
    assert orjson.loads(body)["reasons"][0]["feature"] == "V7"
    status, body = asyncio.run(routes.ask("application/json", b"{}"))
    assert (status, counting.codes) == (400, [200, 400])


def test_a_long_call_leaves_the_event_loop(predictors: dict[str, Predictor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictors["fraud"], "byte_time_s", 1.0)
    reply = call_app(routes_of(predictors["fraud"])[0], "POST", "/v2/models/fraud/infer", fraud_request()[0])
    assert reply.status == 200


def test_small_requests_are_answered_while_a_large_picture_is_decoded(
    predictors: dict[str, Predictor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The large one's decoding waits here for the small one's answer: on one event loop it would wait for ever."""
    small, large = encode(noise(20), "PNG"), encode(noise(99), "PNG")
    answered, decode_image, inline = threading.Event(), images.decode_image, threading.current_thread()

    def waiting(body: bytes, *, max_pixels: int) -> Any:
        assert (threading.current_thread() is inline) == (body == small)
        assert body == small or answered.wait(20), "the small request was not answered meanwhile"
        return decode_image(body, max_pixels=max_pixels)

    monkeypatch.setattr(images, "decode_image", waiting)
    routes, counting = routes_of(predictors["vision"])

    async def both() -> tuple[int, int]:
        begun = asyncio.create_task(routes.ask("image/png", large))
        await asyncio.sleep(0)
        status, _ = await routes.ask("image/png", small)
        answered.set()
        return status, (await begun)[0]

    assert asyncio.run(both()) == (200, 200)
    assert counting.codes == [200, 200]


def test_openapi_describes_every_model_route_and_its_page_loads_nothing(cards: dict[str, ModelCard]) -> None:
    document = openapi.document([(cards["fraud"], (1, 4)), (cards["vision"], (2,))], "1")
    assert {"/v2/models/fraud/versions/4/infer", "/v2/models/vision/versions/2/ready"} < set(document["paths"])
    assert "/v2/models/vision/versions/1" not in document["paths"]
    for path in ("/v2/models/fraud/versions/1/infer", "/v2/models/vision/ready", "/predict/vision", "/predict/fraud"):
        assert path in document["paths"]
    assert document["paths"]["/predict/fraud"]["post"]["requestBody"]["content"]["application/json"]["schema"][
        "required"
    ] == list(FEATURES)
    infer = document["paths"]["/v2/models/fraud/infer"]["post"]
    assert set(infer["requestBody"]["content"]) == {"application/json", "application/octet-stream"}
    assert [parameter["name"] for parameter in infer["parameters"]] == [
        "Inference-Header-Content-Length",
        "X-Request-Timeout-Ms",
    ]
    assert set(infer["responses"]) == {"200", "400", "401", "413", "415", "503", "504"}
    assert "404" in document["paths"]["/v2/models/fraud/versions/1/infer"]["post"]["responses"]
    page = openapi.page(document)
    assert "POST /predict/vision" in page
    assert "src=" not in page
    assert "http" not in page.replace("text/html", "")
