"""More is asked than can be answered, by clients that are too many, too slow or gone, of the real server."""

import asyncio
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from drillyard.core.ports import free_port
from drillyard.core.settings import Settings
from serving import lifecycle
from serving.recipes import Batching, laptop
from serving.state import ServerState

pytestmark = pytest.mark.integration

INFER = "/v2/models/fraud/infer"
MAX_ROWS = 8  # of a batch
PLACES = 16  # requests in the replica at once


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[ServerState]:
    # Every call goes to the thread, however quick the model: the tiny one stands for a slow one here.
    config = replace(
        laptop("fraud", port=free_port()),
        batching=Batching(max_rows=MAX_ROWS, offload_s=0.0),
        max_ongoing_requests=PLACES,
    )
    yield lifecycle.start_detached(config, settings, on_progress=lambda _: None)
    lifecycle.stop(settings)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    elapsed_s: float


def request(body: bytes, path: str = INFER, headers: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def fraud(rows: int = 1) -> bytes:
    data = np.linspace(0, 1, rows * 29).tolist()
    return orjson.dumps({"inputs": [{"name": "features", "datatype": "FP32", "shape": [rows, 29], "data": data}]})


async def answer_of(reader: asyncio.StreamReader, began: float) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in head[1:])}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(int(head[0].split()[1]), headers, body, asyncio.get_running_loop().time() - began)


async def ask(server: ServerState, message: bytes, times: int = 1) -> list[Answer]:
    """The same request some times over one connection, or over a new one where HAProxy, renewing itself, ends it."""
    answers: list[Answer] = []
    while len(answers) < times:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            while len(answers) < times:
                began = asyncio.get_running_loop().time()
                writer.write(message)
                answers.append(await asyncio.wait_for(answer_of(reader, began), 20))
                if answers[-1].headers.get("connection") == "close":
                    break
        finally:
            writer.close()
    return answers


def ask_once(server: ServerState, message: bytes) -> Answer:
    return asyncio.run(ask(server, message))[0]


def metrics(server: ServerState) -> dict[tuple[str, ...], float]:
    text = ask_once(server, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").body.decode()
    found: Counter[tuple[str, ...]] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, *(sample.labels[label] for label in ("reason", "le") if label in sample.labels))
            found[key] += sample.value
    return found


def test_batches_fill_as_the_model_sees_them(server: ServerState) -> None:
    async def load() -> list[list[Answer]]:
        return await asyncio.gather(*(ask(server, request(fraud()), times=40) for _ in range(PLACES)))

    before = metrics(server)
    statuses = Counter(answer.status for answers in asyncio.run(load()) for answer in answers)
    assert statuses == {200: PLACES * 40}
    after = metrics(server)

    def grown(*key: str) -> float:
        return after[key] - before[key]

    assert grown("drillyard_batch_rows_sum") == PLACES * 40, "every row was in exactly one call"
    calls = grown("drillyard_batch_rows_count")
    largest = calls - grown("drillyard_batch_rows_bucket", str(float(MAX_ROWS // 2)))
    assert largest > 0, "no call held more than half a batch"
    assert grown("drillyard_batch_rows_bucket", str(float(MAX_ROWS))) == calls, "no call held more than a batch"


def test_what_cannot_be_served_is_refused_at_once_and_the_rest_is_right(server: ServerState) -> None:
    async def flood() -> list[list[Answer]]:
        return await asyncio.gather(*(ask(server, request(fraud(rows=16)), times=5) for _ in range(20 * PLACES)))

    answers = [answer for each in asyncio.run(flood()) for answer in each]
    statuses = Counter(answer.status for answer in answers)
    assert set(statuses) == {200, 503}, statuses
    right = {answer.body for answer in answers if answer.status == 200}
    assert len(right) == 1
    for refused in (answer for answer in answers if answer.status == 503):
        assert refused.headers["retry-after"] == "1"
        assert "error" in orjson.loads(refused.body)
    assert ask_once(server, request(fraud())).status == 200


def test_a_deadline_that_passes_in_the_queue_is_504_and_counted(server: ServerState) -> None:
    key = ("drillyard_requests_shed_total", "deadline")
    before = metrics(server)[key]

    async def crowd() -> list[Answer]:
        long, short = request(fraud(rows=4096)), request(fraud(), headers="x-request-timeout-ms: 5\r\n")
        ahead = [asyncio.create_task(ask(server, long)) for _ in range(4)]
        await asyncio.sleep(0.03)
        answers = [found for each in await asyncio.gather(*(ask(server, short) for _ in range(8))) for found in each]
        await asyncio.gather(*ahead)
        return answers

    late = [answer for answer in asyncio.run(crowd()) if answer.status == 504]
    assert late
    assert "the deadline of 5 ms passed" in orjson.loads(late[0].body)["error"]
    assert metrics(server)[key] - before == len(late)
    assert ask_once(server, request(fraud(), headers="x-request-timeout-ms: 5000\r\n")).status == 200
    assert ask_once(server, request(fraud(), headers="x-request-timeout-ms: soon\r\n")).status == 400


def test_a_caller_that_hangs_up_in_the_queue_is_not_computed(server: ServerState) -> None:
    key = ("drillyard_requests_shed_total", "client gone")
    before = metrics(server)[key]

    async def leave() -> None:
        ahead = [asyncio.create_task(ask(server, request(fraud(rows=4096)))) for _ in range(4)]
        await asyncio.sleep(0.03)
        writers = []
        for _ in range(6):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request(fraud()))
            await writer.drain()
            writers.append(writer)
        await asyncio.sleep(0.01)
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*ahead)

    for _ in range(10):  # who is first, the model or the news of the hang-up, is up to the machine
        asyncio.run(leave())
        if metrics(server)[key] > before:
            break
    assert metrics(server)[key] > before
    assert ask_once(server, request(fraud())).status == 200


@pytest.mark.parametrize(
    "half",
    [b"POST /v2/models/fraud/infer HTTP/1.1\r\nhost: x\r\n", request(fraud())[:-20]],
    ids=["half a head", "half a body"],
)
def test_slow_clients_do_not_take_the_places_of_others(server: ServerState, half: bytes) -> None:
    async def crowded() -> list[Answer]:
        slow = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(10 * PLACES)]
        for _, writer in slow:
            writer.write(half)
            await writer.drain()
        try:
            return await ask(server, request(fraud()), times=20)
        finally:
            for _, writer in slow:
                writer.transport.abort()

    answers = asyncio.run(crowded())
    assert {answer.status for answer in answers} == {200}
    assert max(answer.elapsed_s for answer in answers) < 2


def test_10_000_idle_connections_disturb_nobody(server: ServerState) -> None:
    idle: list[socket.socket] = []
    try:
        for _ in range(10_000):
            idle.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
        answers = asyncio.run(ask(server, request(fraud()), times=50))
        assert {answer.status for answer in answers} == {200}
        assert max(answer.elapsed_s for answer in answers) < 2
    finally:
        for each in idle:
            each.close()
    assert ask_once(server, request(fraud())).status == 200


@pytest.mark.parametrize("headers", ["x-long: " + "a" * 20_000 + "\r\n", "x-many: 1\r\n" * 500])
def test_oversized_headers_are_refused(server: ServerState, headers: str) -> None:
    found: Any = ask_once(server, request(fraud(), headers=headers))
    assert 400 <= found.status < 500
    assert ask_once(server, request(fraud())).status == 200
