"""Whether a challenger has passed its limits: sequential tests on counts. Pure; called once a second.

For each share of bad requests (failed, slow, disagreeing) Wald's sequential probability ratio test (A. Wald, Sequential
Tests of Statistical Hypotheses, 1945) holds "the share is at most what is tolerated" (p0) against "it is twice that"
(p1). It may be looked at after every second, for as long as one likes: with p <= p0 a test ends in an alarm with a
probability of at most ALPHA, with p >= p1 it misses with at most BETA. A test that ends in favour of the challenger
begins anew, so that one which turns bad later is found as fast as one which was bad from the start.

Wald's requests are independent; real ones are not: a pause of the machine makes a thousand slow at once. Therefore one
second counts for at most a fifth of what an alarm needs (capping evidence from above only lowers the probability of a
false alarm), and what the champion does at the same time is tolerated in the challenger too.
"""

from dataclasses import dataclass
from math import log

from drillyard.core.errors import UsageError
from serving.catalogue import LATENCY
from serving.variants import Counts

ALPHA = 0.001  # probability of an alarm in one test, if what is tolerated is kept
BETA = 0.01  # probability of none, if it is passed twice over
SECONDS_AT_LEAST = 5  # of bad evidence for an alarm

_ALARM = log((1 - BETA) / ALPHA)
_FINE = log(BETA / (1 - ALPHA))


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is tolerated in a challenger, as shares of its requests. Raises UsageError."""

    failed: float = 0.01  # answered with a 500
    slow: float = 0.01  # answered later than slow_s: at 0.01, a limit on the p99
    slow_s: float = 0.05  # one of the bounds of the latency histogram, so that the count is exact
    disagreed: float = 0.10  # another decision than the champion's on the same input

    def __post_init__(self) -> None:
        for name in ("failed", "slow", "disagreed"):
            if not 0 < getattr(self, name) <= 0.5:
                raise UsageError(name, getattr(self, name), "a share above 0 and at most 0.5")
        if self.slow_s not in LATENCY.buckets:
            bounds = ", ".join(f"{bound * 1000:g}" for bound in LATENCY.buckets)
            raise UsageError("slow-ms", self.slow_s * 1000, f"one of {bounds}")


class ShareTest:
    """The sequential test of one share. `evidence` is the logarithm of the likelihood ratio."""

    def __init__(self) -> None:
        self.evidence = 0.0

    def alarms(self, bad: int, total: int, tolerated: float) -> bool:
        """Count one second's requests; whether the share is now shown to be more than what is tolerated."""
        p0 = tolerated
        p1 = min(2 * p0, (1 + p0) / 2)
        step = bad * log(p1 / p0) + (total - bad) * log((1 - p1) / (1 - p0))
        self.evidence += min(step, _ALARM / SECONDS_AT_LEAST)
        if self.evidence <= _FINE:
            self.evidence = 0.0
        return self.evidence >= _ALARM - 1e-9


class Trial:
    """All tests of one challenger, from the start of its canary or shadow."""

    def __init__(self, limits: Limits, *, shadow: bool) -> None:
        self._limits, self._shadow = limits, shadow
        self._tests = {name: ShareTest() for name in ("failed", "slow", "disagreed")}
        self.total = Counts()

    def observe(self, second: Counts) -> str | None:
        """Count what happened since the last call; the reason to roll the challenger back, once there is one."""
        self.total += second
        for name, (bad, total, champion_bad, champion_total) in self._shares(second).items():
            limit = getattr(self._limits, name)
            _, _, before_bad, before_total = self._shares(self.total)[name]
            tolerated = max(limit, _share(champion_bad, champion_total), _share(before_bad, before_total))
            if self._tests[name].alarms(bad, total, min(tolerated, 0.99)):
                return self._reason(name, limit)
        return None

    def _shares(self, counts: Counts) -> dict[str, tuple[int, int, int, int]]:
        """By test: bad and all requests of the challenger, bad and all of the champion (0 of 0: nothing to compare)."""
        champion, challenger, compared = counts.champion, counts.challenger, counts.compared
        both = compared.agreed + compared.disagreed
        if self._shadow:  # nobody waits for a shadow's answer, so it cannot be slow
            failed = (compared.failed, both + compared.failed, champion.failed, champion.answered)
            return {"failed": failed, "disagreed": (compared.disagreed, both, 0, 0)}
        return {
            "failed": (challenger.failed, challenger.answered, champion.failed, champion.answered),
            "slow": (challenger.slow, challenger.answered, champion.slow, champion.answered),
            "disagreed": (compared.disagreed, both, 0, 0),
        }

    def _reason(self, name: str, limit: float) -> str:
        bad, total, champion_bad, champion_total = self._shares(self.total)[name]
        what = {
            "failed": "failed",
            "slow": f"took longer than {self._limits.slow_s * 1000:g} ms",
            "disagreed": "decided otherwise than the champion",
        }[name]
        beside = f", the champion's share was {_share(champion_bad, champion_total):.2%}" if champion_total else ""
        return f"{bad} of {total} requests {what} ({_share(bad, total):.2%}); the limit is {limit:.2%}{beside}"


def _share(bad: int, total: int) -> float:
    return bad / total if total else 0.0
