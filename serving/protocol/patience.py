"""How long a caller waits for its answer: an answer nobody waits for is not computed.

A deadline counts from the request's arrival at the server, the time in HAProxy's queue and in socket buffers included:
HAProxy stamps each request on arrival (serving/haproxy.py), on the clock of this machine.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from serving.protocol.asgi import ClientGoneError, Receive
from serving.protocol.errors import RequestError, shown

TIMEOUT_HEADER = b"x-request-timeout-ms"
ARRIVED_HEADER = b"x-request-start"  # milliseconds since 1970, written by HAProxy over whatever a client sent
MAX_TIMEOUT_MS = 3_600_000


class DeadlinePassedError(RequestError):
    """The caller's own deadline is over."""

    def __init__(self, timeout_ms: int) -> None:
        super().__init__(504, f"the deadline of {timeout_ms} ms passed before the model was asked")


class Patience(NamedTuple):  # made for each request: half of what a frozen dataclass costs
    """When the caller stops waiting, and whether it has hung up."""

    timeout_ms: int = 0  # the caller's own words; 0: none
    deadline: float | None = None  # on time.time's clock
    gone: Callable[[], bool] | None = None

    def check(self) -> None:
        """Raises DeadlinePassedError and ClientGoneError."""
        if self.deadline is not None and time.time() > self.deadline:
            raise DeadlinePassedError(self.timeout_ms)
        if self.gone is not None and self.gone():
            raise ClientGoneError


FOREVER = Patience()


def patience_of(headers: list[tuple[bytes, bytes]], receive: Receive) -> Patience:
    """What a request's headers and its connection say. Raises RequestError."""
    timeout = arrived = b""
    for key, value in headers:
        if key == TIMEOUT_HEADER:
            timeout = value
        elif key == ARRIVED_HEADER:
            arrived = value
    # uvicorn's `receive` is a method of the request's cycle, which knows whether the connection still stands. Asking
    # it costs nothing; a task that waits for the disconnect costs more than a small model.
    cycle: Any = getattr(receive, "__self__", None)
    gone = (lambda: cycle.disconnected) if hasattr(cycle, "disconnected") else None
    if not timeout:
        return Patience(gone=gone)
    if not (timeout.isdigit() and len(timeout) <= 7 and 1 <= int(timeout) <= MAX_TIMEOUT_MS):
        given = shown(timeout.decode("latin-1"))
        raise RequestError(400, f"X-Request-Timeout-Ms={given} is not valid; expected 1 to {MAX_TIMEOUT_MS}")
    start = int(arrived) / 1000 if arrived.isdigit() else time.time()
    return Patience(timeout_ms=int(timeout), deadline=start + int(timeout) / 1000, gone=gone)
