"""A node's own scrape target: counts of ended and living processes, and nothing else on its port."""

import os
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from serving import node_metrics
from serving.environment import ADMIN_SOCKET
from serving.metrics import FrontMetrics


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    FrontMetrics(tmp_path / "metrics").answered("/docs", 200)
    with node_metrics.server(0, tmp_path / "metrics", tmp_path / "haproxy") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        (node_metrics.METRICS_PATH, 200, b'drillyard_front_requests_total{code="200",route="/docs"} 1.0'),
        (node_metrics.ALIVE_PATH, 200, b"alive"),
        ("/v2", 404, b""),
    ],
)
def test_routes(port: int, path: str, status: int, words: bytes) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == status
    assert words in answer.read()
    connection.close()


def test_the_socket_of_the_haproxy_that_started_last_is_asked(tmp_path: Path) -> None:
    assert node_metrics.admin_socket(tmp_path) is None
    for number, name in enumerate(("first", "second")):
        (tmp_path / name).mkdir()
        (tmp_path / name / ADMIN_SOCKET).touch()

        os.utime(tmp_path / name / ADMIN_SOCKET, (number, number))
    found = node_metrics.admin_socket(tmp_path)
    assert found is not None
    assert found.parent.name == "second"
