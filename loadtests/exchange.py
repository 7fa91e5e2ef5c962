"""One request and its answer: what the open and the closed loop have in common."""

import time
from collections.abc import Callable
from http import HTTPStatus

import gevent

from loadtests.client import NETWORK_ERRORS, Client
from loadtests.payloads import Payloads, infer_path
from loadtests.recorder import TIMEOUT, WRONG

TIMEOUT_S = 10.0

# How Locust's own page learns of each request: path, latency_ms from the intended time (None if never sent), bytes of
# the answer, error kind.
Report = Callable[[str, float | None, int, str | None], None]


class Exchange:
    """Asks one model at one address for the answers to ready-encoded requests."""

    def __init__(self, *, url: str, model: str, payloads: Payloads, api_key: str | None = None) -> None:
        """Raises UsageError for a malformed address."""
        self._client = Client(url, api_key)
        self.path = infer_path(model)
        self._payloads = payloads
        self._requests = [self._client.encode(self.path, body) for body in payloads.bodies]

    def ask(self, number: int) -> tuple[str | None, float, int]:
        """Send request `number`: its error kind (None for a right answer), when it ended, and the answer's bytes.

        The end is in seconds of `time.perf_counter`, before the check of the answer, whose time is the generator's own.
        """
        body = b""
        try:
            status, body = self._client.post(self._requests[number % len(self._requests)], TIMEOUT_S)
        except gevent.Timeout:
            error: str | None = TIMEOUT
        except NETWORK_ERRORS as exc:
            error = "refused" if isinstance(exc, ConnectionRefusedError) else "connection"
        else:
            error = None if status == HTTPStatus.OK else str(status)
        done_s = time.perf_counter()
        if error is None and not self._payloads.check(number, body):
            error = WRONG
        return error, done_s, len(body)

    def close(self) -> None:
        self._client.close()
