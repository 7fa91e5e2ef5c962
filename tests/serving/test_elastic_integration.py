"""A real server that grows with the load and shrinks again without a failed request; and how servers end."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection

import orjson
import pytest

from drillyard.core import processes
from drillyard.core.errors import ExitCode
from drillyard.core.ports import free_port
from drillyard.core.settings import Settings
from serving import lifecycle
from serving.lifecycle import ServerFailedError
from serving.recipes import Autoscaling, elastic, laptop
from serving.state import ServerState
from tests.support.replicas import replicas

pytestmark = pytest.mark.integration
TENSOR = {"name": "features", "datatype": "FP32", "shape": [2000, 29], "data": [0.5] * 29 * 2000}
ROWS = orjson.dumps({"inputs": [TENSOR], "outputs": [{"name": "score"}]})  # enough to keep a replica at work


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[ServerState]:
    # A tiny model is hardly ever at work: any request under way for a while is reason for more replicas.
    scaling = Autoscaling(max_replicas=3, target_ongoing_requests=0.05, downscale_delay_s=2.0)
    config = replace(elastic("fraud", max_replicas=3, port=free_port(), grpc_port=0), autoscaling=scaling)
    yield lifecycle.start_detached(config, settings, on_progress=print)
    lifecycle.stop(settings)


def status_of(server: ServerState, body: bytes) -> int:
    """Of one request to the model."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("POST", "/v2/models/fraud/infer", body=body)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def wait_for(server: ServerState, count: int, within_s: float) -> float:
    """Seconds until there are so many replicas."""
    started = time.monotonic()
    while len(replicas(server.run_dir)) != count:
        assert time.monotonic() - started < within_s, f"{len(replicas(server.run_dir))} replicas, expected {count}"
        time.sleep(0.2)
    return time.monotonic() - started


def test_replicas_come_with_the_load_and_go_without_it(server: ServerState) -> None:
    statuses: list[int] = []
    over, pause_s = threading.Event(), 0.0

    def client() -> None:
        while not over.is_set():
            statuses.append(status_of(server, ROWS))
            time.sleep(pause_s)

    assert len(replicas(server.run_dir)) == 1
    clients = [threading.Thread(target=client) for _ in range(3)]
    for thread in clients:
        thread.start()
    try:
        wait_for(server, 3, within_s=60)
        pause_s = 1.0  # hardly any load, but enough to notice a replica that leaves with requests
        wait_for(server, 1, within_s=60)
    finally:
        over.set()
        for thread in clients:
            thread.join()
    assert len(statuses) > 50
    assert set(statuses) == {200}


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_killed_supervisor_leaves_nothing_that_the_next_command_does_not_end(
    server: ServerState, settings: Settings
) -> None:
    """Must stay last but one: it ends the module's server."""
    os.kill(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while processes.is_running(server.pid, server.pid_started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert lifecycle.status(settings) is None
    assert lifecycle.stop(settings) == server
    assert processes.belonging_to(server.run_dir) == []
    assert not server.run_dir.exists()
    assert not listens(server.port)


def test_start_again_and_stop_leave_nothing(server: ServerState, settings: Settings) -> None:
    """Same home and port once more, then SIGINT to the whole process group as a terminal's Ctrl-C sends it."""
    again = lifecycle.start_detached(laptop("fraud", port=server.port, grpc_port=0), settings, on_progress=print)
    assert status_of(again, ROWS) == 200
    os.killpg(again.pid, signal.SIGINT)
    deadline = time.monotonic() + 20
    while processes.is_running(again.pid, again.pid_started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert lifecycle.status(settings) is None
    assert not settings.server_state.exists()
    assert processes.belonging_to(again.run_dir) == []
    assert not again.run_dir.exists()
    assert not listens(again.port)


def test_a_model_that_cannot_be_had_ends_the_start_with_its_reason(settings: Settings) -> None:
    config = laptop("nothing", port=free_port(), grpc_port=free_port())
    with pytest.raises(ServerFailedError, match="model nothing@champion is not in the registry") as caught:
        lifecycle.start_detached(config, settings, on_progress=print)
    assert caught.value.exit_code == ExitCode.USAGE
    assert lifecycle.status(settings) is None
    assert not settings.server_state.exists()
