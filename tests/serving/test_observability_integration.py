"""A real Prometheus and a reader of logs look at a real server: they must see exactly what was sent."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc
import numpy as np
import orjson
import psutil
import pytest

import designs
from designs.monitoring import rules
from drillyard.cli.scraped import scraped
from drillyard.core import processes
from drillyard.core.burn import WORKBOOK
from drillyard.core.load import Load
from drillyard.core.ports import free_port
from drillyard.core.settings import Settings
from drillyard.core.slo import DrillPlan, Slo
from loadtests.generator.exporter import Exporter
from loadtests.launch import run_drill
from serving import lifecycle, logs
from serving.grpc import open_inference_pb2 as pb
from serving.recipes import FRONT, laptop
from serving.state import ServerState
from tests.support import needs, sockets, tiny_models
from tests.support.collector import Collector, attributes
from tests.support.exposition import assert_promtool_accepts
from tests.support.waiting import until

pytestmark = pytest.mark.integration
INFER = "/v2/models/fraud/infer"
GOOD, BAD, LOST = 60, 7, 5  # requests of each kind; GOOD have ROWS rows
LATE = 30  # requests whose deadline is over before the model is asked
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
    counts = [line.removeprefix(name) for line in scrape(server).splitlines() if line.startswith(name)]
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


def scrape(server: ServerState) -> str:
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=20) as response:
        return str(response.read(), "utf-8")


@dataclass(frozen=True)
class Prometheus:
    """`drillyard observe up`; called with PromQL it answers value by label set."""

    url: str
    drill_port: int
    process: "subprocess.Popen[bytes]"

    def __call__(self, promql: str) -> dict[tuple[str, ...], float]:
        return {
            tuple(value for _, value in sorted(each["metric"].items())): float(each["value"][1])
            for each in self.ask(f"query?{urllib.parse.urlencode({'query': promql})}")["result"]
        }

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=10) as response:
            answer = json.load(response)
        assert answer["status"] == "success"
        return answer["data"]

    def alerts(self) -> dict[tuple[str, str | None, str | None], str]:
        """State by alert, design and rule."""
        found = self.ask("alerts")["alerts"]
        labels = [each["labels"] for each in found]
        names = [(each["alertname"], each.get("design"), each.get("rule")) for each in labels]
        return dict(zip(names, (each["state"] for each in found), strict=True))


@pytest.fixture(scope="module")
def prometheus(sent: ServerState, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    needs.program("prometheus", "prometheus")
    port, drill_port, training_port = free_port(), free_port(), free_port()
    options = [f"--port={port}", f"--drill-port={drill_port}", f"--training-port={training_port}"]
    said = tmp_path_factory.mktemp("observe") / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", "from drillyard.cli import main; main()", "observe", "up", *options],
            env={**os.environ, "DRILLYARD_HOME": str(settings.home)},
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: f"watches {sent.url}" in said.read_text() or process.poll() is not None)
        assert process.poll() is None, said.read_text()
        running = Prometheus(url=f"http://127.0.0.1:{port}", drill_port=drill_port, process=process)
        until(lambda: running('up{job="drillyard"} == 1'))
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(30)


def test_prometheus_counts_every_request_by_model_version_variant_and_code(
    prometheus: Prometheus, probes: float
) -> None:
    found = prometheus("sum by (code, model, variant, version) (drillyard_requests_total) > 0")
    assert found == {("200", "fraud", "champion", "1"): GOOD + probes, ("400", "fraud", "champion", "1"): BAD}
    assert prometheus('sum(drillyard_front_requests_total{code="404"})') == {(): LOST}
    assert prometheus("sum(drillyard_requests_in_flight)") == {(): 0}


def test_prometheus_sees_latency_and_batches_of_both_replicas(prometheus: Prometheus, probes: float) -> None:
    assert prometheus("sum(drillyard_request_duration_seconds_count)") == {(): GOOD + BAD + probes}
    assert prometheus("sum(drillyard_batch_rows_sum)") == {(): GOOD * ROWS}
    assert prometheus('sum(drillyard_inference_duration_seconds_bucket{le="+Inf"})') == {(): GOOD}
    (p99,) = prometheus("histogram_quantile(0.99, sum by (le) (drillyard_request_duration_seconds_bucket))").values()
    assert 0 < p99 < 5


def test_prometheus_sees_what_haproxy_answered(prometheus: Prometheus) -> None:
    """At least what was sent: while the server starts, its own probes are refused too."""
    (refused,) = prometheus('sum(drillyard_proxy_responses_total{frontend="http_frontend",code="4xx"})').values()
    assert refused >= BAD + LOST
    assert prometheus("sum(drillyard_proxy_queued)") == {(): 0}


def test_prometheus_sees_which_feature_drifted(prometheus: Prometheus) -> None:
    until(lambda: prometheus("sum(drillyard_drift_rows) > 500"))
    indices = prometheus("sum by (feature) (drillyard_input_drift_psi)")
    assert len(indices) == len(tiny_models.FEATURES)
    assert prometheus("topk(1, sum by (feature) (drillyard_input_drift_psi))").keys() == {(DRIFTED,)}
    others = [index for (feature,), index in indices.items() if feature != DRIFTED]
    assert indices[(DRIFTED,)] > 5 > 1 > max(others), "the card's deciles are of 64 rows, so some distance is left"


def test_promtool_accepts_what_the_server_answers(sent: ServerState) -> None:
    assert_promtool_accepts(scrape(sent))


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


def test_prometheus_has_a_drills_own_counts_beside_the_servers(
    prometheus: Prometheus, sent: ServerState, settings: Settings, tmp_path: Path
) -> None:
    def answered() -> float:
        return sum(prometheus('sum(drillyard_requests_total{model="fraud",code="200"})').values())

    before = answered()
    plan = DrillPlan(
        model="fraud", load=Load(rate_rps=60, duration_s=10), slo=Slo(p50_ms=1000, p99_ms=5000, max_error_rate=0.0)
    )
    exporter = Exporter(plan.name, plan.model)
    with scraped(exporter, prometheus.drill_port):
        result = run_drill(
            plan,
            url=sent.url,
            samples=settings.models / "fraud" / "1",
            out=tmp_path / "result.json",
            on_progress=exporter.follow,
        )
        until(lambda: prometheus("sum(drillyard_drill_sent_total)") == {(): result.requests})
        outcomes = prometheus("sum by (outcome) (drillyard_drill_requests_total)")
        assert outcomes == {("ok",): result.requests, ("error",): 0, ("slow",): 0}
        (timed,) = prometheus("sum(drillyard_drill_latency_seconds_count)").values()
        assert timed == result.extra["timed_requests"]
    counted = sum(
        float(line.rpartition(" ")[2])
        for line in scrape(sent).splitlines()
        if line.startswith('drillyard_requests_total{code="200",model="fraud"')
    )
    until(lambda: answered() == counted)
    assert counted - before >= result.requests
    (over_http,) = prometheus('sum(drillyard_proxy_responses_total{frontend="http_frontend",code="2xx"})').values()
    assert over_http >= result.requests


def test_prometheus_tells_of_a_promise_that_is_broken_and_of_drift(prometheus: Prometheus, sent: ServerState) -> None:
    """Deadlines that pass are failures of the server's; the drift of the tests above is not yet ten minutes old."""
    pages = {rule.name for rule in WORKBOOK if rule.severity == "page"}  # a ticket's days are looked at less often
    firing = {("DrillyardAvailabilityBurn", name, page) for name in ("fraud", "serving") for page in pages}
    assert not firing & prometheus.alerts().keys()
    slow_to_read = infer_body(np.zeros((4000, 29)))
    late = [post(sent, INFER, slow_to_read, f"late-{i}", {"X-Request-Timeout-Ms": "1"}) for i in range(LATE)]
    assert late == [504] * LATE
    until(lambda: firing <= prometheus.alerts().keys())
    alerts = prometheus.alerts()
    assert {alerts[each] for each in firing} == {"firing"}
    assert alerts["DrillyardInputDrift", None, None] == "pending"
    of_vision = {key for key in alerts if key[1] == "vision"}
    assert of_vision == set(), "nobody asked for it, so nothing is said of it"


def test_loaded_rules_are_the_generated_ones_and_all_are_well(prometheus: Prometheus) -> None:
    groups = prometheus.ask("rules")["groups"]
    made = rules.groups(map(designs.get, designs.names()))
    assert {each["name"]: len(each["rules"]) for each in groups} == {each.name: len(each.rules) for each in made}
    health = {group["name"]: {rule["health"] for rule in group["rules"]} for group in groups}
    assert not any("err" in found for found in health.values())
    assert {name for name, found in health.items() if found == {"ok"}} >= {
        each.name for each in made if each.every_s is None
    }


def test_an_interrupted_prometheus_leaves_nothing_running(prometheus: Prometheus, settings: Settings) -> None:
    """The last test of this module: it ends what the others ask."""
    children = psutil.Process(prometheus.process.pid).children(recursive=True)
    assert [child.name() for child in children] == ["prometheus"]
    (listens,) = sockets.listening([child.pid for child in children])
    assert listens.loopback
    started = {child.pid: processes.start_time(child.pid) for child in children}
    prometheus.process.send_signal(signal.SIGINT)
    assert prometheus.process.wait(30) == 130
    assert [pid for pid, start in started.items() if start and processes.is_running(pid, start)] == []
    with pytest.raises(OSError, match="refused"):
        prometheus("up")
    assert (settings.home / "prometheus" / "data").is_dir(), "what it has seen is kept"
