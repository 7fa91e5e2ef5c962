"""HAProxy as Ray Serve's own code runs it, killed while it is asked: a stand-in answers until Serve has replaced it."""

import asyncio
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from drillyard.core import processes
from drillyard.core.ports import free_port
from serving.environment import haproxy_binary
from serving.grpc.routing import haproxy_edits
from serving.haproxy import STANDIN_PID, Listener, Queue, install
from serving.standin import StandIn

pytestmark = pytest.mark.integration
BACK_WITHIN_S = 1.0


class Replica(BaseHTTPRequestHandler):
    """What HAProxy asks; as a replica does, it also answers whether it is healthy."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def folder() -> Iterator[Path]:
    found = Path(tempfile.mkdtemp(prefix="dy-", dir="/tmp"))  # unix sockets' paths must be short
    yield found
    shutil.rmtree(found)


@pytest.fixture
def replica_port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Replica)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


class Client:
    """Asks over a new connection every 10 ms; keeps when an answer was not 200, and when HAProxy was killed."""

    def __init__(self, port: int) -> None:
        self.killed, self.failed = list[float](), list[float]()
        self.answered, self._port, self._over = 0, port, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Client":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.01):
            asked, connection = time.monotonic(), HTTPConnection("127.0.0.1", self._port, timeout=5)
            try:
                connection.request("GET", "/m/x")
                good = connection.getresponse().status == 200
            except (OSError, HTTPException):
                good = False
            finally:
                connection.close()
            self.answered += good
            if not good:
                self.failed.append(asked)


def test_a_killed_haproxy_is_missed_for_less_than_a_second(
    folder: Path, replica_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray.serve._private.haproxy as serve_haproxy
    from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
    from ray.serve.config import HTTPOptions, gRPCOptions

    port, ended = free_port(), threading.Event()
    listener = Listener(host="127.0.0.1", port=port, grpc_port=free_port())
    queue = Queue(per_replica=64, timeout_s=0.02)
    wrapper = install(folder, haproxy_binary(), listener, queue, haproxy_edits(("m",), "Front"))
    monkeypatch.setattr(serve_haproxy, "RAY_SERVE_HAPROXY_BINARY_PATH", str(wrapper))
    monkeypatch.setenv("RAY_SERVE_HAPROXY_BINARY_PATH", str(wrapper))  # as the supervisor has it
    replica = ServerConfig(name="r", host="127.0.0.1", port=replica_port)
    routes = {"m": BackendConfig(name="m", path_prefix="/m", app_name="m", servers=[replica])}

    def manager(backends: dict[str, BackendConfig]) -> HAProxyApi:
        """As an actor of Serve makes it; one that starts anew knows no routes."""
        config = HAProxyConfig(
            http_options=HTTPOptions(host="127.0.0.1", port=port),
            grpc_options=gRPCOptions(
                port=listener.grpc_port, grpc_servicer_functions=["serving.grpc.service.add_to_server"]
            ),
            socket_path=str(folder / "admin.sock"),
            server_state_base=str(folder),
            server_state_file=str(folder / "server-state"),
            metrics_enabled=False,
            metrics_port=free_port(),
            is_head=True,
        )
        return HAProxyApi(config, backends, str(folder / "haproxy.cfg"))

    async def story() -> Client:
        running = manager(routes)
        await running.start()
        stand_in = StandIn(folder=folder, port=port, ended=ended)
        watching = threading.Thread(target=stand_in.run)
        watching.start()
        try:
            with Client(port) as client:
                for _ in range(2):
                    await asyncio.sleep(0.5)
                    assert running._proc is not None
                    client.killed.append(time.monotonic())
                    os.kill(running._proc.pid, signal.SIGKILL)
                    await asyncio.sleep(BACK_WITHIN_S)
                    standing = int((folder / STANDIN_PID).read_text())
                    assert processes.start_time(standing) is not None
                    assert not await running.is_running(), "Serve does not take the stand-in for its own"
                    running = manager({})
                    await running.start()
                    await asyncio.sleep(0.5)
                    running.set_backend_configs(routes)
                    await running.reload()
                await asyncio.sleep(0.5)
            deadline = time.monotonic() + 10
            while processes.start_time(standing) is not None and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
            assert processes.start_time(standing) is None, "told to finish by its successor"
        finally:
            ended.set()
            await running.stop()
            watching.join(5)
        assert not watching.is_alive()
        return client

    client = asyncio.run(story())
    assert client.answered > 100
    since = [min((failed - killed for killed in client.killed), key=abs) for failed in client.failed]
    assert [seconds for seconds in since if not -0.1 < seconds < BACK_WITHIN_S] == []
