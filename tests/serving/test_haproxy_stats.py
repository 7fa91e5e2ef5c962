"""A real HAProxy's own counts: what it refused, what waits in it, and what clients were answered."""

import subprocess
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from drillyard.core.ports import free_port
from serving import haproxy_stats
from serving.environment import haproxy_binary
from tests.support.waiting import until

CONFIG = """
global
    stats socket {folder}/admin.sock mode 600 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    timeout queue 200ms
    retries 2
    retry-on conn-failure empty-response junk-response response-timeout
frontend http_frontend
    bind 127.0.0.1:{port}
    use_backend model if {{ path_beg /model }}
    default_backend nobody
frontend prometheus
    bind 127.0.0.1:{other_port}
    http-request return status 200
backend model
    server replica 127.0.0.1:{replica_port} maxconn 1
backend nobody
    http-request return status 404
"""


class Slow(BaseHTTPRequestHandler):
    """Answers once it is let go; breaks off as often as it is told first."""

    may_answer = threading.Event()
    breaks = 0

    def do_GET(self) -> None:
        if Slow.breaks:
            Slow.breaks -= 1
            return
        self.may_answer.wait(10)
        self.send_response(500 if self.path.endswith("/bug") else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[int]:
    """HAProxy with one replica that takes one request at a time; its port. The admin socket lies in tmp_path."""
    replica = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    Slow.may_answer.clear()
    threading.Thread(target=replica.serve_forever, daemon=True).start()
    port = free_port()
    text = CONFIG.format(folder=tmp_path, port=port, other_port=free_port(), replica_port=replica.server_port)
    (tmp_path / "haproxy.cfg").write_text(text)
    running = subprocess.Popen([haproxy_binary(), "-db", "-f", str(tmp_path / "haproxy.cfg")])
    try:
        until(lambda: haproxy_stats.families(tmp_path / "admin.sock"))
        yield port
    finally:
        Slow.may_answer.set()
        running.terminate()
        running.wait(10)
        replica.shutdown()
        replica.server_close()


def get(port: int, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def counts(folder: Path) -> dict[tuple[str, ...], float]:
    return {
        (sample.name.removeprefix("drillyard_proxy_"), *sample.labels.values()): sample.value
        for family in haproxy_stats.families(folder / "admin.sock")
        for sample in family.samples
    }


def test_what_no_replica_hears_of_is_counted(proxy: int, tmp_path: Path) -> None:
    answers: list[int] = []
    busy = threading.Thread(target=lambda: answers.append(get(proxy, "/model")))
    busy.start()
    until(lambda: working(tmp_path) == 1)
    waits = threading.Thread(target=lambda: answers.append(get(proxy, "/model")))
    waits.start()
    until(lambda: counts(tmp_path)["queued", "model"] == 1)
    waits.join()
    assert answers == [503], "it waited as long as it may, and was refused"
    Slow.may_answer.set()
    busy.join()
    assert get(proxy, "/elsewhere") == 404
    found = counts(tmp_path)
    assert found["responses_total", "http_frontend", "2xx"] == 1
    assert found["responses_total", "http_frontend", "4xx"] == 1
    assert found["responses_total", "http_frontend", "5xx"] == 1
    assert found["unserved_total", "model"] == 1
    assert found["failed_total", "model"] == 1
    assert found["queued", "model"] == 0
    assert not any("prometheus" in key for key in found), "its other listeners are not the clients'"


@pytest.mark.parametrize(("breaks", "status", "failed"), [(2, 200, 0), (3, 502, 1)])
def test_only_a_request_that_no_replica_answered_has_failed_in_the_proxy(
    proxy: int, tmp_path: Path, breaks: int, status: int, failed: int
) -> None:
    """It is sent twice more; a 5xx that the replica gives is the replica's."""
    Slow.may_answer.set()
    Slow.breaks = breaks
    assert get(proxy, "/model") == status
    assert get(proxy, "/model/bug") == 500
    found = counts(tmp_path)
    assert (found["failed_total", "model"], found["unserved_total", "model"]) == (failed, 0)
    assert found["responses_total", "http_frontend", "5xx"] == failed + 1


def working(folder: Path) -> int:
    """How many requests the replica works on."""
    (row,) = [row for row in haproxy_stats._rows(folder / "admin.sock") if row["svname"] == "replica"]
    return int(row["scur"])


def test_a_proxy_that_is_not_there_leaves_the_other_metrics_alone(tmp_path: Path) -> None:
    assert haproxy_stats.families(tmp_path / "no.sock") == []
