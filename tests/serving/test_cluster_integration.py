"""A node as its container has it, on a local Ray: environment, wrapper of HAProxy and Serve config of a recipe.

No supervisor takes part: the applications come from import paths and arguments, as a RayService's do.
"""

import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from drillyard.core import processes
from drillyard.core.contract import ModelRef
from drillyard.core.ports import free_port
from drillyard.core.processes import MARK
from drillyard.core.settings import Settings
from serving import clusters, node_metrics
from serving.builders import metrics_folder
from serving.clusters import Cluster
from serving.environment import haproxy_binary
from serving.haproxy import ERROR_PAGE
from serving.keyfile import KeyHash, new_key
from serving.serve_config import serve_config
from tests.support import tiny_models
from tests.support.waiting import until

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
ROW = {"name": "features", "datatype": "FP32", "shape": [1, 29], "data": [0.1] * 29}
KEY = new_key()


@dataclass(frozen=True)
class Node:
    """The running node, and how to tell it what to serve."""

    process: "subprocess.Popen[str]"
    folder: Path
    cluster: Cluster

    def deploy(self, cluster: Cluster) -> None:
        """Return when every application runs."""
        file = self.folder / "serve.yaml"
        file.write_text(yaml.safe_dump(serve_config(cluster)))
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{file}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "deployed\n", (self.folder / "stderr").read_text()[-3000:]

    def ask(self, method: str, path: str, body: Any = None, key: str | None = KEY) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.cluster.config.port, timeout=10)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            connection.request(method, path, body=orjson.dumps(body) if body else None, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def version(self) -> tuple[int, str]:
        """Status of one inference, and the version that gave it."""
        status, body = self.ask("POST", "/v2/models/fraud/infer", {"inputs": [ROW]})
        return status, str(orjson.loads(body).get("model_version"))


def placed(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """The places of a container, below a folder whose name is short: HAProxy's sockets lie there."""
    for name in ("HOME", "RUN", "WRAPPER", "ERROR_PAGE", "KEYS_FILE"):
        patch.setattr(clusters, name, folder / str(getattr(clusters, name)).lstrip("/"))
    patch.setattr(clusters, "HAPROXY_FOLDER", folder / "h")
    patch.setattr(clusters, "HAPROXY", haproxy_binary())


@pytest.fixture(scope="module")
def node(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder, short = tmp_path_factory.mktemp("node"), Path(tempfile.mkdtemp(prefix="dy-", dir="/tmp"))
    with pytest.MonkeyPatch.context() as patch:
        placed(short, patch)
        small = clusters.small("fraud", "vision")
        config = replace(small.config, port=free_port(), grpc_port=free_port())
        environment = {
            **clusters.common_environment(),
            **clusters.node_environment(config),
            "MLFLOW_TRACKING_URI": settings.tracking_uri,
            "PYTHONPATH": str(ROOT),
            "HOME": str(short),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
            "SPT_NOENV": "1",
            MARK: str(short),
        }
        clusters.WRAPPER.parent.mkdir(parents=True)
        clusters.WRAPPER.write_text(clusters.haproxy_wrapper(config))
        clusters.WRAPPER.chmod(0o555)
        clusters.ERROR_PAGE.write_text(ERROR_PAGE)
        clusters.KEYS_FILE.parent.mkdir(parents=True)
        clusters.KEYS_FILE.write_text(f"{KeyHash.of('test', KEY)}\n")
        command = [sys.executable, str(ROOT / "tests/support/cluster_node.py"), str(short / "ray")]
        with (folder / "stderr").open("w") as stderr:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
            )
        try:
            found = Node(process, folder, replace(small, config=config))
            found.deploy(found.cluster)
            until(lambda: found.ask("GET", "/v2/models/fraud/ready")[0] == 200)
            yield found
        finally:
            process.stdin.close()  # type: ignore[union-attr]
            try:
                process.wait(20)
            finally:
                processes.end(short)


def test_it_answers_for_both_models_and_asks_for_a_key(node: Node) -> None:
    assert node.version() == (200, "1")
    status, body = node.ask("POST", "/predict/fraud", {f"V{i}": 0.0 for i in range(1, 29)} | {"Amount": 1.0})
    assert status == 200, body
    assert node.ask("GET", "/v2/models/vision/ready")[0] == 200
    assert node.ask("GET", "/v2/health/ready", key=None)[0] == 200
    assert node.ask("GET", "/v2/models/fraud", key=None)[0] == 401


def test_of_serves_own_routes_only_health_is_open(node: Node) -> None:
    assert node.ask("GET", clusters.HEALTH_PATH, key=None)[0] == 200
    for path in ("/-/routes", f"{clusters.HEALTH_PATH}/", "/%2D/routes"):
        status, body = node.ask("GET", path)
        assert (status, b"there is no such route" in body) == (404, True), path


def test_the_nodes_metrics_are_scraped_without_the_front(node: Node) -> None:
    node.version()
    settings = Settings.from_env({"DRILLYARD_HOME": str(clusters.HOME)})
    with node_metrics.server(0, metrics_folder(settings), clusters.HAPROXY_FOLDER) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        connection.request("GET", node_metrics.METRICS_PATH)
        text = connection.getresponse().read().decode()
        server.shutdown()
    assert 'drillyard_requests_total{code="200",model="fraud"' in text
    assert 'drillyard_proxy_responses_total{code="2xx",frontend="http_frontend"}' in text


def test_a_new_version_is_rolled_out_by_naming_it_and_no_request_fails(
    node: Node, settings: Settings, tmp_path: Path
) -> None:
    tiny_models.write_fraud(tmp_path / "2", version=2)
    assert tiny_models.register(settings.tracking_uri, "fraud", tmp_path / "2", alias=None) == 2
    answers: list[tuple[int, str]] = []
    over = threading.Event()

    def client() -> None:
        while not over.is_set():
            try:
                answers.append(node.version())
            except (OSError, HTTPException) as error:  # a broken connection is a failed request
                answers.append((0, repr(error)))

    threads = [threading.Thread(target=client) for _ in range(2)]
    for thread in threads:
        thread.start()
    models = (ModelRef(name="fraud", version=2), ModelRef(name="vision", alias="champion"))
    try:
        node.deploy(replace(node.cluster, config=replace(node.cluster.config, models=models)))
        until(lambda: answers[-1][1] == "2")
        time.sleep(3)  # the old replica has left by now
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert [answer for answer in answers if answer[0] != 200] == []
    assert {version for _, version in answers} == {"1", "2"}
    assert answers[-1] == (200, "2")
