"""An answer leaves in one write, by uvicorn's real cycle."""

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from serving.protocol.asgi import respond
from serving.protocol.joined import join


class Transport:
    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed_after: int | None = None

    def write(self, data: bytes) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed_after = len(self.writes)

    def is_closing(self) -> bool:
        return self.closed_after is not None


def answered(body: bytes, *, method: str = "POST", keep_alive: bool = True, disconnected: bool = False) -> Transport:
    """What the transport got when an app joined its answer."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        join(scope, receive)
        await respond(send, 200, body)

    async def run() -> None:
        cycle = RequestResponseCycle(
            scope={"type": "http", "method": method},  # type: ignore[typeddict-item]
            transport=transport,  # type: ignore[arg-type]
            flow=FlowControl(transport),  # type: ignore[arg-type]
            logger=logging.getLogger("test"),
            access_logger=logging.getLogger("test"),
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=keep_alive,
            on_response=lambda: None,
        )
        cycle.disconnected = disconnected
        await cycle.run_asgi(app)
        assert disconnected or cycle.transport is transport  # joined no longer: the next answer decides for itself

    transport = Transport()
    asyncio.run(run())
    return transport


@pytest.mark.parametrize("body", [b'{"answer":1}', b"", b"x" * 2**20])
def test_head_and_body_are_one_write(body: bytes) -> None:
    (written,) = answered(body).writes
    head, end, rest = written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert (end, rest) == (b"\r\n\r\n", body)


def test_a_connection_that_does_not_stay_is_closed_after_the_write() -> None:
    transport = answered(b"{}", keep_alive=False)
    assert (len(transport.writes), transport.closed_after) == (1, 1)
    assert b"connection: close" in transport.writes[0]


def test_an_answer_without_a_body_is_not_kept_back() -> None:
    (written,) = answered(b"{}", method="HEAD").writes
    assert written.endswith(b"\r\n\r\n")


def test_nothing_is_written_to_who_has_gone() -> None:
    assert answered(b"{}", disconnected=True).writes == []


def test_under_another_server_nothing_changes() -> None:
    async def receive() -> dict[str, object]:
        return {}

    join({"method": "POST"}, receive)
