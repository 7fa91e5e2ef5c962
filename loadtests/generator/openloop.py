"""The open-loop generator: each request leaves at its intended time, whether or not earlier ones were answered."""

import gc
import resource
import time

from gevent.event import Event
from gevent.pool import Group

from loadtests.generator.arrivals import Times
from loadtests.generator.exchange import Exchange, Report
from loadtests.generator.pacing import Pacer
from loadtests.generator.recorder import DROPPED, Recorder

# Unanswered requests at once; one more is dropped and counts as an error. 4096 outlasts a stall of 1.3 s at 3,000
# requests/s, so a stalled system is seen as late answers, not blamed on the generator.
MAX_IN_FLIGHT = 4096
_LEAD_S = 0.05  # between the call and the first intended time


class OpenLoop:
    """One generator process's share of a drill."""

    def __init__(
        self,
        *,
        exchange: Exchange,
        times: Times,
        numbers: range,
        recorder: Recorder,
        report: Report | None = None,
    ) -> None:
        """`times`: this process's intended sends; `numbers`: their places in the whole drill, choosing the samples."""
        self.recorder = recorder
        self.done = Event()  # set when the last request ended, or the loop was stopped
        self.scheduled = len(times)
        self._exchange = exchange
        self._plan = list(zip(times.tolist(), numbers, strict=True))
        self._report = report or (lambda *_: None)
        self._cap = min(MAX_IN_FLIGHT, _raise_file_limit() - 128)
        self._start_s = 0.0
        self._next = 0  # place in the plan of the next arrival

    def run(self) -> None:
        """Send everything, wait for the last answer. Being killed stops it at once and leaves the rest uncounted."""
        pacer, in_flight = Pacer(), Group()
        gc.collect()
        gc.freeze()  # a full collection would otherwise walk every sample, some 10 ms in which nothing is sent
        self._start_s = time.perf_counter() + _LEAD_S
        try:
            while self._next < len(self._plan):
                pacer.until(self._start_s + self._plan[self._next][0])
                arrival = self._take_due()
                if arrival is None:
                    continue  # a request that ended meanwhile took it
                if len(in_flight) >= self._cap:
                    self.recorder.dropped(arrival[0], self.elapsed_s)
                    self._report(self._exchange.path, None, 0, DROPPED)
                else:
                    in_flight.spawn(self._serve, arrival)
            in_flight.join()
        finally:
            in_flight.kill()
            gc.unfreeze()
            pacer.close()
            self._exchange.close()
            self.done.set()

    @property
    def elapsed_s(self) -> float:
        """Since the start of the drill; 0 before it."""
        return max(0.0, time.perf_counter() - self._start_s) if self._start_s else 0.0

    def _take_due(self) -> tuple[float, int] | None:
        """The next arrival if its time has come: (due_s, number)."""
        if self._next < len(self._plan) and self.elapsed_s >= self._plan[self._next][0]:
            self._next += 1
            return self._plan[self._next - 1]
        return None

    def _serve(self, arrival: tuple[float, int] | None) -> None:
        """Send one, then whatever came due meanwhile.

        When a stall ends, hundreds of answers are ready in one turn of the event loop; were sends to wait for the next
        turn, the generator would be late by the time it takes to read them all.
        """
        while arrival is not None:
            self._request(*arrival)
            arrival = self._take_due()

    def _request(self, due_s: float, number: int) -> None:
        self.recorder.sent(due_s, self.elapsed_s)
        error, answered_s, answer_bytes = self._exchange.ask(number)
        done_s = answered_s - self._start_s
        self.recorder.outcome(due_s, done_s, error)
        self._report(self._exchange.path, (done_s - due_s) * 1000, answer_bytes, error)


def _raise_file_limit() -> int:
    """Allow as many open files as the system lets this process have; returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_IN_FLIGHT + 1024
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit
