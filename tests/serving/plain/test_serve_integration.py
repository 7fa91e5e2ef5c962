"""The real server: Ray Serve behind HAProxy, two registered models."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from io import BytesIO
from typing import Any

import numpy as np
import orjson
import pytest
from PIL import Image

from drillyard.core import processes
from drillyard.core.errors import UsageError
from drillyard.core.ports import free_port
from drillyard.core.settings import Settings
from serving import lifecycle
from serving.bench.pictures import file_of_size
from serving.haproxy import FOLDER, PID_FILE
from serving.recipes import laptop
from serving.state import ServerState
from tests.serving.test_people import png_that_claims
from tests.support import sockets, tiny_models
from tests.support.replicas import replicas

pytestmark = pytest.mark.integration
QUICK_S = 2.0  # "quickly", on two cores that other tests may share


class Reply:
    def __init__(self, status: int, headers: dict[str, str], body: bytes, elapsed_s: float) -> None:
        self.status, self.headers, self.body, self.elapsed_s = status, headers, body, elapsed_s

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


def ask(
    server: ServerState, method: str, path: str, body: Any = None, content_type: str = "application/json", **kw: Any
) -> Reply:
    """One request on its own connection; the body is sent in chunks when it is an iterator."""
    started = time.monotonic()
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        headers = {"content-type": content_type} if body is not None else {}
        connection.request(method, path, body=body, headers=headers, **kw)
        response = connection.getresponse()
        names = {key.lower(): value for key, value in response.getheaders()}
        return Reply(response.status, names, response.read(), time.monotonic() - started)
    finally:
        connection.close()


def fraud_body(rows: int = 1, **changes: Any) -> bytes:
    features = np.random.default_rng(rows).normal(size=(rows, 29)).astype(np.float32)
    tensor = {"name": "features", "datatype": "FP32", "shape": [rows, 29], "data": features.ravel().tolist()}
    return orjson.dumps({"id": "q", "inputs": [tensor | changes]})


def jpeg(size: tuple[int, int] = (40, 30)) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, (250, 250, 250)).save(buffer, "JPEG")
    return buffer.getvalue()


def assert_still_good(server: ServerState) -> None:
    reply = ask(server, "POST", "/v2/models/fraud/infer", fraud_body())
    assert (reply.status, reply.json["id"]) == (200, "q")


def test_every_documented_get_route_answers(server: ServerState) -> None:
    document = ask(server, "GET", "/openapi.json").json
    paths = [path for path, methods in document["paths"].items() if "get" in methods]
    assert {"/v2", "/v2/health/live", "/v2/health/ready", "/metrics", "/docs", "/openapi.json"} < set(paths)
    assert "/v2/models/vision/versions/1/ready" in paths
    for path in paths:
        assert ask(server, "GET", path).status == 200, path
    assert ask(server, "GET", "/v2").json["name"] == "drillyard"
    assert ask(server, "GET", "/v2/models/vision").json["inputs"][0]["shape"] == [-1, -1, -1, 3]


def test_infer_by_name_and_by_version(server: ServerState) -> None:
    features = np.random.default_rng(5).normal(size=(5, 29)).astype(np.float32)
    score, _, _ = tiny_models.expected_fraud(features)
    for path in ("/v2/models/fraud/infer", "/v2/models/fraud/versions/1/infer"):
        reply = ask(server, "POST", path, fraud_body(rows=5))
        assert (reply.json["model_name"], reply.json["model_version"]) == ("fraud", "1")
        np.testing.assert_allclose(reply.json["outputs"][0]["data"], score, atol=1e-6)
    image = np.full((1, 8, 6, 3), 255, dtype=np.uint8)
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 8, 6, 3], "data": image.ravel().tolist()}
    reply = ask(server, "POST", "/v2/models/vision/infer", orjson.dumps({"inputs": [tensor]}))
    assert reply.json["outputs"][1] == {"name": "label", "datatype": "INT64", "shape": [1], "data": [9]}


def test_people_ask_in_images_and_names(server: ServerState) -> None:
    reply = ask(server, "POST", "/predict/vision", jpeg(), "image/jpeg")
    assert (reply.status, reply.json["label"]) == (200, "class-9")
    fields = dict.fromkeys(tiny_models.FEATURES, 0.0) | {"Amount": 500.0}
    reply = ask(server, "POST", "/predict/fraud", orjson.dumps(fields))
    assert (reply.status, reply.json["is_fraud"]) == (200, True)
    assert reply.json["reasons"][0]["feature"] == "Amount"


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_an_image_just_below_the_limit_passes_the_front(server: ServerState, file_format: str) -> None:
    """The front hands it on by gRPC, whose own limit is 4 MiB. JPEG meets the limit of pixels before that of bytes."""
    size_bytes = {"PNG": 15 * 2**20, "JPEG": 9 * 2**20}[file_format]
    file = file_of_size(size_bytes, file_format)
    assert len(file) == pytest.approx(size_bytes, rel=0.05)
    reply = ask(server, "POST", "/predict/vision", file, f"image/{file_format.lower()}")
    _, label = tiny_models.expected_vision(np.asarray(Image.open(BytesIO(file)))[np.newaxis])
    assert (reply.status, reply.json["label"]) == (200, f"class-{label[0]}")


def test_small_requests_are_answered_while_a_large_picture_is_decoded(server: ServerState) -> None:
    file = file_of_size(9 * 2**20, "JPEG")
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [9, 9, 9]}
    small = orjson.dumps({"inputs": [tensor]})
    with ThreadPoolExecutor(max_workers=1) as pool:
        begun = pool.submit(ask, server, "POST", "/predict/vision", file, "image/jpeg")
        meanwhile = []
        while not begun.done():
            meanwhile.append(ask(server, "POST", "/v2/models/vision/infer", small))
    large = begun.result()
    assert {reply.status for reply in (large, *meanwhile)} == {200}
    assert max(reply.elapsed_s for reply in meanwhile) < large.elapsed_s / 3


def chunks_of_100_mb() -> Iterator[bytes]:
    for _ in range(100):
        yield bytes(2**20)


INFER, PEOPLE = "/v2/models/fraud/infer", "/predict/vision"
BAD: dict[str, tuple[str, str, Any, str, int, str]] = {
    "wrong type": ("POST", INFER, fraud_body(data=["1"] * 29), "application/json", 400, "data[0]='1'"),
    "wrong shape": ("POST", INFER, fraud_body(shape=[1, 30]), "application/json", 400, "expected [any, 29]"),
    "wrong dtype": ("POST", INFER, fraud_body(datatype="FP64"), "application/json", 400, "expected FP32"),
    "NaN": ("POST", INFER, fraud_body().replace(b'"data":[', b'"data":[NaN,'), "application/json", 400, "JSON"),
    "infinity": ("POST", INFER, fraud_body(data=[1e300] * 29), "application/json", 400, "data[0]=1e+300"),
    "null": ("POST", INFER, fraud_body(data=[None] * 29), "application/json", 400, "data[0]=None"),
    "empty body": ("POST", INFER, b"", "application/json", 400, "empty"),
    "invalid JSON": ("POST", INFER, b"{", "application/json", 400, "JSON"),
    "truncated JPEG": ("POST", PEOPLE, jpeg()[:300], "image/jpeg", 400, "image"),
    "no image": ("POST", PEOPLE, b"hello", "image/jpeg", 400, "not an image"),
    "bomb": ("POST", PEOPLE, png_that_claims(50_000, 50_000), "image/png", 413, "pixels"),
    "100 MB": ("POST", INFER, bytes(100 * 2**20), "application/json", 413, "too large"),
    "100 MB image": ("POST", PEOPLE, bytes(100 * 2**20), "image/png", 413, "too large"),
    "unknown model": ("POST", "/v2/models/nothing/infer", fraud_body(), "application/json", 404, "fraud, vision"),
    "unknown people": ("POST", "/predict/nothing", b"{}", "application/json", 404, "fraud, vision"),
    "prefix of a model": ("POST", "/v2/models/fraudulent/infer", fraud_body(), "application/json", 404, "'fraudulent'"),
    "unknown version": ("POST", "/v2/models/fraud/versions/7/infer", b"{}", "application/json", 404, "expected 1"),
    "unknown route": ("GET", "/v3", None, "", 404, "no route"),
    "wrong method": ("PUT", INFER, fraud_body(), "application/json", 405, "use POST"),
    "wrong method of the front": ("DELETE", "/predict/fraud", None, "", 405, "use POST"),
    "missing input": ("POST", INFER, b'{"inputs": []}', "application/json", 400, "features"),
    "extra input": ("POST", INFER, fraud_body(name="more"), "application/json", 400, "expected one of features"),
    "batch 0": ("POST", INFER, fraud_body(shape=[0, 29], data=[]), "application/json", 400, "at least 1"),
    "batch too large": ("POST", INFER, fraud_body(rows=4097), "application/json", 413, "at most 4096 rows"),
    "missing field": ("POST", "/predict/fraud", b'{"V1": 1}', "application/json", 400, "field V2 is missing"),
    "wrong content type": ("POST", PEOPLE, b"{}", "text/plain", 415, "image/jpeg"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name_and_quickly(server: ServerState, case: str) -> None:
    method, path, body, content_type, status, words = BAD[case]
    reply = ask(server, method, path, body, content_type)
    assert reply.status == status, reply.body
    assert words in reply.json["error"]
    assert reply.elapsed_s < QUICK_S
    assert (status == 405) == ("allow" in reply.headers)
    assert_still_good(server)


@pytest.mark.parametrize("rows", [1, 4000])  # answered at once, and in the model's thread
def test_a_requests_id_is_answered_once(server: ServerState, rows: int) -> None:
    with contextlib.closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        for given in ({"X-Request-ID": "mine"}, {}):
            connection.request("POST", "/v2/models/fraud/infer", body=fraud_body(rows), headers=given)
            response = connection.getresponse()
            response.read()
            ids = [value for key, value in response.getheaders() if key.lower() == "x-request-id"]
            assert (response.status, len(ids)) == (200, 1)
            assert ids == ["mine"] if given else len(ids[0]) == 36


def test_an_unknown_requested_output_is_refused(server: ServerState) -> None:
    document = orjson.loads(fraud_body()) | {"outputs": [{"name": "colour"}]}
    reply = ask(server, "POST", INFER, orjson.dumps(document))
    assert reply.status == 400
    assert "score, is_fraud, reasons" in reply.json["error"]


def test_100_mb_that_were_not_announced_are_refused(server: ServerState) -> None:
    started = time.monotonic()
    # The server may close before the client has sent all it has: the client's library sees that first.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        assert ask(server, "POST", INFER, chunks_of_100_mb(), encode_chunked=True).status == 413
    assert time.monotonic() - started < 2 * QUICK_S
    assert_still_good(server)


def test_metrics_count_every_request_by_code(server: ServerState) -> None:
    def count(code: int) -> float:
        lines = ask(server, "GET", "/metrics").body.decode().splitlines()
        counts = [line.rpartition(" ") for line in lines if line.startswith("drillyard_requests_total{")]
        wanted = {f'code="{code}"', 'model="fraud"', 'version="1"', 'variant="champion"'}
        return sum(float(value) for name, _, value in counts if all(label in name for label in wanted))

    good, bad = count(200), count(400)
    for body in (fraud_body(), fraud_body(), b"{}"):
        ask(server, "POST", INFER, body)
    assert (count(200) - good, count(400) - bad) == (2, 1)


def test_nothing_listens_beyond_loopback(server: ServerState) -> None:
    found = sockets.listening([server.pid, *processes.belonging_to(server.run_dir)])
    assert [each for each in found if not each.loopback] == []
    assert len(found) > 5


def test_a_second_server_of_the_same_home_is_refused(server: ServerState, settings: Settings) -> None:
    with pytest.raises(UsageError, match="serve down"):
        lifecycle.start_detached(laptop("fraud", port=free_port(), grpc_port=free_port()), settings, on_progress=print)
    assert lifecycle.status(settings) == server


def test_a_killed_haproxy_is_missed_for_a_moment(server: ServerState) -> None:
    """Another stands in; then Serve's own takes over, with the routes it has from the start."""
    note = server.run_dir / FOLDER / PID_FILE
    struck = int(note.read_text())
    os.kill(struck, signal.SIGKILL)
    killed, replaced, refused, statuses = time.monotonic(), 0.0, [], set()
    while not replaced or time.monotonic() - replaced < 3:
        try:
            statuses.add(ask(server, "POST", INFER, fraud_body()).status)
        except OSError:
            refused.append(time.monotonic() - killed)
        if not replaced and int(note.read_text()) != struck:
            replaced = time.monotonic()
        assert time.monotonic() - killed < 60
        time.sleep(0.01)
    assert statuses == {200}
    assert max(refused, default=0) < QUICK_S, refused


def test_killed_replicas_are_replaced(server: ServerState) -> None:
    (victim,) = replicas(server.run_dir)
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        # With the only replica dead, 503 is the right answer; HAProxy may also close a connection while it reloads.
        with contextlib.suppress(ConnectionError):
            reply = ask(server, "POST", INFER, fraud_body())
            if reply.status == 200 and victim not in replicas(server.run_dir):
                break
            assert reply.status in (200, 503), reply.body
            if reply.status == 503:
                assert "error" in reply.json
        time.sleep(0.2)
    assert_still_good(server)
