"""What happened to each request, counted honestly: latency from the intended send time.

Measuring from the actual send time would hide a stall from all the requests it delayed ("coordinated omission", Gil
Tene, "How NOT to Measure Latency"). Latencies go to an HDR histogram (https://hdrhistogram.org), so percentiles are
exact to 3 digits, and histograms of several generator processes add up where percentiles cannot be averaged.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram

LATE_S = 0.005  # a send later than this after its intended time is the generator's own fault
TIMEOUT, DROPPED, WRONG = "timeout", "dropped", "wrong answer"  # error kinds; the others are HTTP codes or "connection"
REJECTED = "rejected"  # what a malformed request should be: neither an answer nor an error
REFUSALS = frozenset({"429", "503"})  # a server that says at once that it has no room
HIGHEST_US = 3_600_000_000  # one hour; nothing is answered later, as requests time out


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A finished (or cut) measurement, as the verdict needs it. Times in ms, counts in requests."""

    scheduled: int  # intended sends
    requests: int  # of those, sent or dropped
    ok: int
    good: int  # right answers within the latency bound
    error_counts: dict[str, int]
    late_sends: int
    timed: int  # latencies counted
    over_bound: int  # of those, above the latency bound
    percentiles_ms: dict[float, float]
    rejected: int = 0  # malformed requests that were told so

    @property
    def errors(self) -> int:
        return sum(self.error_counts.values())

    @property
    def error_rate(self) -> float:
        return self.errors / self.requests if self.requests else 0.0


@dataclass
class _Second:
    sent: int = 0
    ok: int = 0
    errors: int = 0
    slow: int = 0  # of ok, above the latency bound
    latencies_us: "array[int]" = field(default_factory=lambda: array("Q"))  # of requests intended in this second


class Recorder:
    """Counts one generator's requests; `drain` and `merge` carry the counts of one process to another.

    Latency percentiles cover right answers and timeouts (the caller did wait that long). Other failures are left out:
    they are bounded by the error rate, and a fast refusal must not flatter the percentiles. Refusals are timed apart.
    """

    def __init__(self, bound_ms: float) -> None:
        """`bound_ms`: the latency a good answer must keep (the SLO's p99 bound)."""
        self.bound_ms = bound_ms
        self._bound_us = bound_ms * 1000
        self._reset()

    def _reset(self) -> None:
        self._latency = HdrHistogram(1, HIGHEST_US, 3, b64_wrap=False)
        self._lag = HdrHistogram(1, HIGHEST_US, 3, b64_wrap=False)
        self._refusal = HdrHistogram(1, HIGHEST_US, 3, b64_wrap=False)
        self._seconds: defaultdict[int, _Second] = defaultdict(_Second)
        self._errors: Counter[str] = Counter()
        self.requests = self.ok = self._good = self._within = self.late_sends = self.rejected = 0
        self.latency_sum_s = 0.0

    def sent(self, intended_s: float, sent_s: float) -> None:
        """One request left (times in seconds since the start of the drill)."""
        self.requests += 1
        lag_s = sent_s - intended_s
        self._lag.record_value(max(1, round(lag_s * 1e6)))
        if lag_s > LATE_S:
            self.late_sends += 1
        self._seconds[int(sent_s)].sent += 1

    def dropped(self, intended_s: float, now_s: float) -> None:
        """One request could not leave: too many were unanswered already."""
        self.requests += 1
        if now_s - intended_s > LATE_S:
            self.late_sends += 1
        self._errors[DROPPED] += 1
        self._seconds[int(now_s)].errors += 1

    def outcome(self, intended_s: float, done_s: float, error: str | None) -> None:
        """One request ended: `error` is None for a right answer, else its kind, or that it was rightly rejected."""
        if error == REJECTED:
            self.rejected += 1
            return
        second = self._seconds[int(done_s)]
        latency_us = max(1, round((done_s - intended_s) * 1e6))
        if error is None:
            self.ok += 1
            second.ok += 1
        else:
            self._errors[error] += 1
            second.errors += 1
            if error in REFUSALS:
                self._refusal.record_value(latency_us)
            if error != TIMEOUT:
                return
        if latency_us <= self._bound_us:
            self._within += 1
            self._good += error is None
        elif error is None:
            second.slow += 1
        self._latency.record_value(latency_us)
        self.latency_sum_s += latency_us / 1e6
        self._seconds[int(intended_s)].latencies_us.append(latency_us)

    @property
    def errors(self) -> int:
        return self._errors.total()

    @property
    def slow(self) -> int:
        """Right answers above the latency bound."""
        return self.ok - self._good

    def percentile_ms(self, percentile: float) -> float:
        """Latency at a percentile, from the HDR histogram; 0.0 while nothing was timed."""
        return _value_us(self._latency, percentile) / 1000

    def counts_up_to(self, bounds_s: Sequence[float]) -> tuple[int, ...]:
        """How many latencies are at most each of the bounds (ascending), and how many there are, to HDR's 3 digits."""
        counts = np.cumsum(np.ctypeslib.as_array(self._latency.counts))
        places = [self._latency.get_counts_array_index(round(bound * 1e6)) for bound in bounds_s]
        return (*(int(counts[place]) for place in places), int(self._latency.total_count))

    def send_lag_ms(self) -> dict[str, float]:
        """How long after the intended time requests really left; part of every latency above."""
        return _summary_ms(self._lag)

    def refusal_ms(self) -> dict[str, float]:
        """How long refused requests waited for their refusal, from the intended send time."""
        return _summary_ms(self._refusal)

    def curve(self) -> list[tuple[float, float]]:
        """(percentile, latency_ms) in the classic HDR steps: five for each halving of the distance to 100."""
        if not self._latency.total_count:
            return []
        points = self._latency.get_percentile_iterator(5)
        return [(item.percentile_level_iterated_to, item.value_iterated_to / 1000) for item in points]

    def latencies_us(self) -> "dict[int, array[int]]":
        """By the second in which each request was intended."""
        return {t_s: second.latencies_us for t_s, second in self._seconds.items()}

    def series(self) -> dict[str, list[float]]:
        """Per second: sent, ok, errors and slow when they happened; p50 and p99 (0 if none) by the intended second."""
        columns: dict[str, list[float]] = {
            key: [] for key in ("t_s", "sent", "ok", "errors", "slow", "p50_ms", "p99_ms")
        }
        for t_s in range(max(self._seconds, default=-1) + 1):
            second = self._seconds.get(t_s, _Second())
            p50, p99 = np.percentile(second.latencies_us, [50, 99]) / 1000 if second.latencies_us else (0.0, 0.0)
            row = (t_s, second.sent, second.ok, second.errors, second.slow, p50, p99)
            for key, value in zip(columns, row, strict=True):
                columns[key].append(round(float(value), 3))
        return columns

    def window(self, from_s: float, to_s: float) -> dict[str, float]:
        """Counts and exact percentiles of the seconds that begin in [from_s, to_s), as in `series`."""
        seconds = [second for t_s, second in sorted(self._seconds.items()) if from_s <= t_s < to_s]
        latencies_us = np.fromiter((us for second in seconds for us in second.latencies_us), dtype=np.uint64)
        p50, p99 = np.percentile(latencies_us, [50, 99]) / 1000 if latencies_us.size else (0.0, 0.0)
        ok, errors = (sum(getattr(second, name) for second in seconds) for name in ("ok", "errors"))
        return {
            "sent": sum(second.sent for second in seconds),
            "ok": ok,
            "errors": errors,
            "error_rate": errors / (ok + errors) if ok + errors else 0.0,
            "p50_ms": round(float(p50), 3),
            "p99_ms": round(float(p99), 3),
        }

    def measured(self, scheduled: int) -> Measured:
        return Measured(
            scheduled=scheduled,
            requests=self.requests,
            ok=self.ok,
            good=self._good,
            error_counts=dict(self._errors),
            late_sends=self.late_sends,
            timed=self._latency.total_count,
            over_bound=self._latency.total_count - self._within,
            percentiles_ms={p: self.percentile_ms(p) for p in (50.0, 90.0, 99.0, 99.9, 100.0)},
            rejected=self.rejected,
        )

    def drain(self) -> dict[str, Any]:
        """All counts so far as plain values that Locust can send, and start again from zero."""
        state = {
            "histograms": [histogram.encode() for histogram in self._histograms()],
            "counts": [self.requests, self.ok, self._good, self._within, self.late_sends, self.rejected],
            "errors": dict(self._errors),
            "latency_sum_s": self.latency_sum_s,
            "seconds": {
                t_s: [second.sent, second.ok, second.errors, second.slow, second.latencies_us.tobytes()]
                for t_s, second in self._seconds.items()
            },
        }
        self._reset()
        return state

    def _histograms(self) -> tuple[Any, ...]:
        return self._latency, self._lag, self._refusal

    def merge(self, state: dict[str, Any]) -> None:
        """Add what another process drained; exact, in any order."""
        for histogram, encoded in zip(self._histograms(), state["histograms"], strict=True):
            histogram.decode_and_add(encoded)
        requests, ok, good, within, late, rejected = state["counts"]
        self.requests += requests
        self.ok += ok
        self._good += good
        self._within += within
        self.late_sends += late
        self.rejected += rejected
        self.latency_sum_s += state["latency_sum_s"]
        self._errors.update(state["errors"])
        for t_s, (sent, ok, errors, slow, latencies) in state["seconds"].items():
            second = self._seconds[int(t_s)]
            second.sent += sent
            second.ok += ok
            second.errors += errors
            second.slow += slow
            second.latencies_us.frombytes(latencies)


def _summary_ms(histogram: Any) -> dict[str, float]:
    return {name: _value_us(histogram, p) / 1000 for name, p in (("p50", 50.0), ("p99", 99.0), ("max", 100.0))}


def _value_us(histogram: Any, percentile: float) -> int:
    """`get_value_at_percentile`, vectorised: the library's loop takes 5 ms, in which no request would be sent."""
    if not histogram.total_count:
        return 0
    if percentile >= 100:
        return int(histogram.get_max_value())
    cumulative = np.cumsum(np.ctypeslib.as_array(histogram.counts))
    index = int(np.searchsorted(cumulative, histogram.get_target_count_at_percentile(percentile)))
    return int(histogram.get_highest_equivalent_value(histogram.get_value_from_index(index)))
