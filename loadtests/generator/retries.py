"""What clients do about a failed request: how often, after what pause, and within what budget they ask again."""

import random

from drillyard.core.traffic import Retries
from loadtests.generator.recorder import REFUSALS, TIMEOUT

RETRIED = REFUSALS | {TIMEOUT, "connection", "refused"}  # a wrong answer would only be wrong again
_SAVED_AT_MOST = 10.0  # retries that a budget may save up in good times


class RetryPolicy:
    """All clients of one generator together: the budget is theirs in common, as in a client library's pool."""

    def __init__(self, retries: Retries, seed: int = 0) -> None:
        self._retries, self._random = retries, random.Random(seed)
        self._tokens = _SAVED_AT_MOST

    def first(self) -> None:
        """A new request is sent."""
        self._tokens = min(_SAVED_AT_MOST, self._tokens + (self._retries.budget or 0.0))

    def pause_s(self, attempt: int, error: str | None) -> float | None:
        """How long to wait before the next attempt, after number `attempt` (from 1) ended so; None: give up."""
        if error not in RETRIED or attempt >= self._retries.attempts:
            return None
        if self._retries.budget is not None:
            if self._tokens < 1:
                return None
            self._tokens -= 1
        mean_s = self._retries.backoff_s * 2 ** (attempt - 1)
        return self._random.uniform(0, 2 * mean_s)  # "full jitter": those refused together do not come back together
