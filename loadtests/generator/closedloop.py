"""The closed-loop generator: each user sends its next request when its last one was answered.

It measures service times and throughput, never what independent callers would feel: while the system stands still, so
does the load, and one late answer stands for all the requests that would have come meanwhile.
"""

import gc
import time

import gevent
from gevent.event import Event

from drillyard.core.load import ClosedLoad
from loadtests.generator.exchange import Exchange, Report
from loadtests.generator.recorder import Recorder

_BACK_OFF_S = 0.01  # after a failed request, so that a dead system does not turn the loop into a flood


class ClosedLoop:
    """A fixed number of users; requests are numbered in the order in which they are sent."""

    def __init__(
        self, *, exchange: Exchange, load: ClosedLoad, recorder: Recorder, report: Report | None = None
    ) -> None:
        self.recorder = recorder
        self.done = Event()  # set when the last request ended, or the loop was stopped
        self._exchange = exchange
        self._load = load
        self._report = report or (lambda *_: None)
        self._start_s = 0.0
        self._sent = 0

    def run(self) -> None:
        """Send until the time is over, wait for the last answers. Being killed stops it at once."""
        gc.collect()
        gc.freeze()  # as in the open loop
        self._start_s = time.perf_counter()
        users = [gevent.spawn(self._user) for _ in range(self._load.users)]
        try:
            gevent.joinall(users, raise_error=True)
        finally:
            gevent.killall(users)
            gc.unfreeze()
            self._exchange.close()
            self.done.set()

    @property
    def scheduled(self) -> int:
        """All that were sent so far: nothing is planned ahead."""
        return self._sent

    @property
    def elapsed_s(self) -> float:
        """Since the start of the drill; 0 before it."""
        return time.perf_counter() - self._start_s if self._start_s else 0.0

    def _user(self) -> None:
        while (sent_s := self.elapsed_s) < self._load.duration_s:
            number, self._sent = self._sent, self._sent + 1
            self.recorder.sent(sent_s, sent_s)
            error, answered_s, answer_bytes = self._exchange.ask(number)
            done_s = answered_s - self._start_s
            self.recorder.outcome(sent_s, done_s, error)
            self._report(self._exchange.path, (done_s - sent_s) * 1000, answer_bytes, error)
            if error is not None:
                gevent.sleep(_BACK_OFF_S)
