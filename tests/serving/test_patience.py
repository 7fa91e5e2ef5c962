"""Deadlines and callers that hang up."""

import time

import pytest

from serving.protocol.asgi import ClientGoneError
from serving.protocol.errors import RequestError
from serving.protocol.patience import FOREVER, DeadlinePassedError, patience_of


class Cycle:
    """As uvicorn's: `receive` is a method of what knows the connection."""

    disconnected = False

    async def receive(self) -> dict[str, object]:
        return {}


async def plain_receive() -> dict[str, object]:
    return {}


def test_without_a_header_a_caller_waits_for_ever() -> None:
    patience_of([], plain_receive).check()
    FOREVER.check()


def test_the_deadline_counts_from_arrival_at_haproxy() -> None:
    now_ms = int(time.time() * 1000)
    headers = [(b"x-request-timeout-ms", b"50"), (b"x-request-start", str(now_ms).encode())]
    patience_of(headers, plain_receive).check()
    late = [(b"x-request-timeout-ms", b"50"), (b"x-request-start", str(now_ms - 60).encode())]
    with pytest.raises(DeadlinePassedError, match="50 ms"):
        patience_of(late, plain_receive).check()


@pytest.mark.parametrize("value", [b"0", b"-1", b"1.5", b"soon", b"3600001", b"99999999999999999999", b"\xff"])
def test_a_deadline_that_is_none_is_refused(value: bytes) -> None:
    with pytest.raises(RequestError, match=r"400: X-Request-Timeout-Ms=.* is not valid; expected 1 to 3600000"):
        patience_of([(b"x-request-timeout-ms", value)], plain_receive)


def test_a_connection_that_closed_is_noticed() -> None:
    cycle = Cycle()
    patience = patience_of([], cycle.receive)
    patience.check()
    cycle.disconnected = True
    with pytest.raises(ClientGoneError):
        patience.check()
