"""A real Prometheus and a reader of logs look at a real server: they must see exactly what was sent."""

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc
import numpy as np
import orjson
import pytest

from drillyard.core.settings import Settings
from serving import lifecycle, logs
from serving.grpc import open_inference_pb2 as pb
from serving.ports import free_port
from serving.recipes import FRONT, laptop
from serving.state import ServerState
from tests.support import tiny_models
from tests.support.collector import Collector, attributes

pytestmark = pytest.mark.integration
INFER = "/v2/models/fraud/infer"
GOOD, BAD, LOST = 60, 7, 5  # requests of each kind; GOOD have ROWS rows
ROWS = 16
DRIFTED = "V3"  # the feature that is moved
MARKER = 987654.25  # a value that must not be found in any log


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def server(settings: Settings, collector: Collector) -> Iterator[ServerState]:
    config = replace(
        laptop("fraud", port=free_port(), grpc_port=free_port()), replicas=2, cpus_per_replica=0.5, access_log_share=1.0
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        started = lifecycle.start_detached(config, settings, on_progress=print)
    yield started
    lifecycle.stop(settings)


@pytest.fixture(scope="module")
def probes(server: ServerState) -> float:
    """How often the supervisor had asked for the model before it called it ready."""
    name = 'drillyard_requests_total{code="200",model="fraud",variant="champion",version="1"} '
    counts = [line.removeprefix(name) for line in scrape(server).decode().splitlines() if line.startswith(name)]
    return float(counts[0])


@pytest.fixture(scope="module")
def sent(server: ServerState, probes: float) -> ServerState:
    """The server, after the requests that the tests count. Slow enough for the sample to take every row's part."""
    assert probes < 10
    rng = np.random.default_rng(1)
    for i in range(GOOD):
        features = rng.normal(size=(ROWS, 29))
        features[::2] *= 10  # as tiny_models draws them
        features[:, tiny_models.FEATURES.index(DRIFTED)] = MARKER
        assert post(server, INFER, infer_body(features), f"good-{i}") == 200
        time.sleep(0.1)
    for i in range(BAD):
        assert post(server, INFER, infer_body(np.full((1, 29), MARKER)).replace(b"FP32", b"FP64"), f"bad-{i}") == 400
    for i in range(LOST):
        assert post(server, f"/nowhere/{i}", b"{}", f"lost-{i}") == 404
    return server


def infer_body(features: Any) -> bytes:
    rows = features.astype(np.float32)
    tensor = {"name": "features", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
    return orjson.dumps({"inputs": [tensor]})


def post(
    server: ServerState, path: str, body: bytes, request_id: str, headers: Mapping[str, str] = MappingProxyType({})
) -> int:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request("POST", path, body=body, headers={"X-Request-ID": request_id, **headers})
        response = connection.getresponse()
        response.read()
        assert response.getheader("x-request-id") == request_id
        return response.status
    finally:
        connection.close()


def scrape(server: ServerState) -> bytes:
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=20) as response:
        return bytes(response.read())


def until(condition: Any, timeout_s: float = 30.0) -> Any:
    """The first true value of `condition()`."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def prometheus(sent: ServerState, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real Prometheus of our own that scrapes the server; called with PromQL it answers value by label set."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (Debian package prometheus)")
    folder = tmp_path_factory.mktemp("prometheus")
    target = {"targets": [f"127.0.0.1:{sent.port}"]}
    config = {"scrape_configs": [{"job_name": "drillyard", "scrape_interval": "1s", "static_configs": [target]}]}
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)

    def query(promql: str) -> dict[tuple[str, ...], float]:
        address_of = f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': promql})}"
        try:
            with urllib.request.urlopen(address_of, timeout=10) as response:
                answer = json.load(response)
        except OSError:  # it does not listen yet
            assert running.poll() is None, (folder / "log").read_text()
            return {}
        assert answer["status"] == "success"
        return {
            tuple(value for _, value in sorted(each["metric"].items())): float(each["value"][1])
            for each in answer["data"]["result"]
        }

    try:
        until(lambda: query('up{job="drillyard"} == 1'))
        yield query
    finally:
        running.terminate()
        running.wait(20)


def test_prometheus_counts_every_request_by_model_version_variant_and_code(prometheus: Any, probes: float) -> None:
    found = prometheus("sum by (code, model, variant, version) (drillyard_requests_total)")
    assert found == {("200", "fraud", "champion", "1"): GOOD + probes, ("400", "fraud", "champion", "1"): BAD}
    assert prometheus('sum(drillyard_front_requests_total{code="404"})') == {(): LOST}
    assert prometheus("sum(drillyard_requests_in_flight)") == {(): 0}


def test_prometheus_sees_latency_and_batches_of_both_replicas(prometheus: Any, probes: float) -> None:
    assert prometheus("sum(drillyard_request_duration_seconds_count)") == {(): GOOD + BAD + probes}
    assert prometheus("sum(drillyard_batch_rows_sum)") == {(): GOOD * ROWS}
    assert prometheus('sum(drillyard_inference_duration_seconds_bucket{le="+Inf"})') == {(): GOOD}
    (p99,) = prometheus("histogram_quantile(0.99, sum by (le) (drillyard_request_duration_seconds_bucket))").values()
    assert 0 < p99 < 5


def test_prometheus_sees_what_haproxy_answered(prometheus: Any) -> None:
    """At least what was sent: while the server starts, its own probes are refused too."""
    (refused,) = prometheus('sum(drillyard_proxy_responses_total{frontend="http_frontend",code="4xx"})').values()
    assert refused >= BAD + LOST
    assert prometheus("sum(drillyard_proxy_queued)") == {(): 0}


def test_prometheus_sees_which_feature_drifted(prometheus: Any) -> None:
    until(lambda: prometheus("sum(drillyard_drift_rows) > 500"))
    indices = prometheus("sum by (feature) (drillyard_input_drift_psi)")
    assert len(indices) == len(tiny_models.FEATURES)
    assert prometheus("topk(1, sum by (feature) (drillyard_input_drift_psi))").keys() == {(DRIFTED,)}
    others = [index for (feature,), index in indices.items() if feature != DRIFTED]
    assert indices[(DRIFTED,)] > 5 > 1 > max(others), "the card's deciles are of 64 rows, so some distance is left"


def test_promtool_accepts_what_the_server_answers(sent: ServerState) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=scrape(sent), capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_each_request_to_the_model_is_a_trace_with_its_id(sent: ServerState, collector: Collector) -> None:
    """Replicas send their spans every five seconds."""
    expected = {f"good-{i}": 200 for i in range(GOOD)} | {f"bad-{i}": 400 for i in range(BAD)}

    def traced() -> dict[str, int]:
        found = [attributes(span) for span in collector.spans if span.name == "infer"]
        return {each["drillyard.request_id"]: each["http.response.status_code"] for each in found}

    until(lambda: len(traced()) >= len(expected))
    assert traced() == expected
    names = [span.name for span in collector.spans]
    assert [names.count(stage) for stage in ("decode", "queue", "inference")] == [GOOD] * 3


def test_what_the_front_and_grpc_take_is_traced_down_to_the_model(sent: ServerState, collector: Collector) -> None:
    fields = orjson.dumps(dict.fromkeys(tiny_models.FEATURES, 0.5))
    trace_ids = {way: f"{number:032x}" for number, way in enumerate(("predict", "grpc", "grpc by front"), 7)}
    parents = {way: f"00-{trace_id}-{'ab' * 8}-01" for way, trace_id in trace_ids.items()}
    assert post(sent, "/predict/fraud", fields, "by-name", {"traceparent": parents["predict"]}) == 200
    request = pb.ModelInferRequest(model_name="fraud", raw_input_contents=[bytes(29 * 4)])
    request.inputs.add(name="features", datatype="FP32", shape=[1, 29])
    with grpc.insecure_channel(sent.grpc_address or "") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for way, to in (("grpc", "fraud"), ("grpc by front", FRONT)):
            metadata = (("traceparent", parents[way]), ("application", to))
            call(request.SerializeToString(), timeout=20, metadata=metadata)
    stages = ["decode", "inference", "queue"]
    expected = {
        "predict": sorted([*stages, "infer", "predict"]),
        "grpc": sorted([*stages, "infer"]),
        "grpc by front": sorted([*stages, "infer", "infer"]),
    }

    def traced() -> dict[str, list[str]]:
        return {
            way: sorted(span.name for span in collector.spans if span.trace_id.hex() == trace_id)
            for way, trace_id in trace_ids.items()
        }

    until(lambda: traced() == expected)


def log_lines(settings: Settings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in settings.serving_log.read_text().splitlines()]


def test_each_request_left_a_line_with_its_id_and_no_payload(sent: ServerState, settings: Settings) -> None:
    found = log_lines(settings)
    assert all(set(line) <= set(logs.FIELDS) for line in found)
    status = {line["request_id"]: line["status"] for line in found if line["message"] == "request"}
    expected = {"good": (GOOD, 200), "bad": (BAD, 400), "lost": (LOST, 404)}
    for kind, (count, code) in expected.items():
        assert [status.get(f"{kind}-{i}") for i in range(count)] == [code] * count
    assert {line["process"] for line in found} == {"supervisor", "front", "replica fraud"}
    assert len({line["pid"] for line in found if line["process"] == "replica fraud"}) == 2, "both replicas were counted"
    assert {"ready"} <= {line["message"] for line in found if line["process"] == "supervisor"}
    written = "".join(path.read_text(errors="replace") for path in _logs(sent, settings))
    assert str(int(MARKER)) not in written, "neither our lines nor Ray's hold a value that was sent"


def _logs(server: ServerState, settings: Settings) -> list[Path]:
    rays = [path for path in server.run_dir.glob("ray/session_*/logs/**/*") if path.is_file()]
    assert rays, "Ray's own logs are looked at too"
    return [*settings.serving_log.parent.iterdir(), *rays]
