"""A real server that grows with the load and shrinks again, without a failed request."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection

import orjson
import pytest

from drillyard.core.settings import Settings
from serving import lifecycle
from serving.recipes import Autoscaling, elastic
from serving.state import ServerState
from tests.support.replicas import replicas
from tests.support.sockets import free_port

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[ServerState]:
    # A tiny model is hardly ever at work: any request under way for a while is reason for more replicas.
    scaling = Autoscaling(max_replicas=3, target_ongoing_requests=0.05, downscale_delay_s=2.0)
    config = replace(elastic("fraud", max_replicas=3, port=free_port(), grpc_port=0), autoscaling=scaling)
    yield lifecycle.start_detached(config, settings, on_progress=print)
    lifecycle.stop(settings)


def wait_for(server: ServerState, count: int, within_s: float) -> float:
    """Seconds until there are so many replicas."""
    started = time.monotonic()
    while len(replicas(server.run_dir)) != count:
        assert time.monotonic() - started < within_s, f"{len(replicas(server.run_dir))} replicas, expected {count}"
        time.sleep(0.2)
    return time.monotonic() - started


def test_replicas_come_with_the_load_and_go_without_it(server: ServerState) -> None:
    features = [0.5] * 29 * 2000  # rows enough to keep a replica at work
    tensor = {"name": "features", "datatype": "FP32", "shape": [2000, 29], "data": features}
    body = orjson.dumps({"inputs": [tensor], "outputs": [{"name": "score"}]})
    statuses: list[int] = []
    over, pause_s = threading.Event(), 0.0

    def client() -> None:
        while not over.is_set():
            connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
            connection.request("POST", "/v2/models/fraud/infer", body=body)
            response = connection.getresponse()
            response.read()
            connection.close()
            statuses.append(response.status)
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
