"""One request and its answer: what the open and the closed loop have in common."""

import time
from collections.abc import Callable

import gevent

from drillyard.core.traffic import Retries
from loadtests.generator.client import NETWORK_ERRORS, Client
from loadtests.generator.payloads import infer_path
from loadtests.generator.recorder import TIMEOUT
from loadtests.generator.retries import RetryPolicy
from loadtests.generator.traffic import Requests

TIMEOUT_S = 10.0

# How Locust's own page learns of each request: path, latency_ms from the intended time (None if never sent), bytes of
# the answer, error kind.
Report = Callable[[str, float | None, int, str | None], None]


class Exchange:
    """Asks one model at one address for the answers to ready-encoded requests."""

    def __init__(
        self,
        *,
        url: str,
        model: str,
        payloads: Requests,
        api_key: str | None = None,
        retries: Retries | None = None,
    ) -> None:
        """Raises UsageError for a malformed address."""
        self._client = Client(url, api_key)
        self.path = infer_path(model)
        self._payloads = payloads
        self._requests = [self._client.encode(self.path, body) for body in payloads.bodies]
        self._timeout_s = retries.timeout_s if retries else TIMEOUT_S
        self._policy = RetryPolicy(retries) if retries else None
        self.sends = 0  # of all requests; more than one of a request that clients repeat

    def ask(self, number: int) -> tuple[str | None, float, int]:
        """Send request `number`, again if the clients do so, and tell how it ended: `_send`, of the last attempt."""
        if self._policy is None:
            return self._send(number)
        self._policy.first()
        attempt, outcome = 1, self._send(number)
        while (pause_s := self._policy.pause_s(attempt, outcome[0])) is not None:
            gevent.sleep(pause_s)
            attempt, outcome = attempt + 1, self._send(number)
        return outcome

    def _send(self, number: int) -> tuple[str | None, float, int]:
        """The error kind (None for a right answer), when it ended, and the answer's bytes.

        The end is in seconds of `time.perf_counter`, before the check of the answer, whose time is the generator's own.
        """
        self.sends += 1
        status, body = 0, b""
        error: str | None = None
        try:
            status, body = self._client.post(self._requests[self._payloads.choose(number)], self._timeout_s)
        except gevent.Timeout:
            error = TIMEOUT
        except NETWORK_ERRORS as exc:
            error = "refused" if isinstance(exc, ConnectionRefusedError) else "connection"
        done_s = time.perf_counter()
        return error or self._payloads.judge(number, status, body), done_s, len(body)

    def close(self) -> None:
        self._client.close()
