"""The closed loop against an exchange that is no network, and the open loop beside it."""

import time

import gevent
import numpy as np
import pytest

from drillyard.core.load import ClosedLoad, Load, Spike, Steps
from drillyard.core.slo import Slo
from loadtests.generator.closedloop import ClosedLoop
from loadtests.generator.openloop import OpenLoop
from loadtests.generator.recorder import Recorder
from loadtests.judge.phases import kept_factor, spans
from tests.loadtests.support.builders import make_plan


class FakeExchange:
    """Answers after a time; asserts that no more are asked for at once than there are users."""

    path = "/fake"

    def __init__(self, users: int, answer_s: float = 0.0, freeze_at: int = -1, freeze_s: float = 0.0) -> None:
        self.users, self.answer_s, self.freeze_at, self.freeze_s = users, answer_s, freeze_at, freeze_s
        self.asked: list[int] = []
        self.at_once = 0
        self.closed = False
        self._thawed_s = 0.0

    def ask(self, number: int):
        self.asked.append(number)
        self.at_once += 1
        assert self.at_once <= self.users
        if number == self.freeze_at:
            self._thawed_s = time.perf_counter() + self.freeze_s
        gevent.sleep(max(self.answer_s, self._thawed_s - time.perf_counter()))  # the whole system stands still
        self.at_once -= 1
        return None, time.perf_counter(), 3

    def close(self) -> None:
        self.closed = True


def test_each_user_sends_when_its_last_request_was_answered():
    exchange, recorder = FakeExchange(users=3, answer_s=0.005), Recorder(50.0)
    loop = ClosedLoop(exchange=exchange, load=ClosedLoad(users=3, duration_s=0.1), recorder=recorder)
    loop.run()
    assert loop.done.is_set()
    assert exchange.closed
    assert exchange.asked == list(range(recorder.requests))
    assert recorder.ok == recorder.requests <= 3 * 20 + 3
    assert recorder.late_sends == 0
    assert recorder.percentile_ms(50) >= 4.9


def test_a_freeze_delays_one_request_of_a_closed_loop_and_every_due_one_of_an_open_loop():
    freeze_s, every_s = 0.3, 0.01
    closed, opened = Recorder(50.0), Recorder(50.0)
    exchange = FakeExchange(users=1, answer_s=0.01, freeze_at=10, freeze_s=freeze_s)
    ClosedLoop(exchange=exchange, load=ClosedLoad(users=1, duration_s=0.6), recorder=closed).run()
    exchange = FakeExchange(users=1000, freeze_at=10, freeze_s=freeze_s)
    times = np.arange(0, 0.6, every_s)
    OpenLoop(exchange=exchange, times=times, numbers=range(len(times)), recorder=opened).run()
    late = [recorder.measured(recorder.requests).over_bound for recorder in (closed, opened)]
    # Those due in the freeze's first 250 ms waited longer than the bound of 50 ms; a busy machine may add to them.
    assert late[1] >= 23 > 3 >= late[0] >= 1


def test_failed_requests_are_not_sent_as_fast_as_they_fail():
    class Dead(FakeExchange):
        def ask(self, number):
            _, done_s, size = super().ask(number)
            return "refused", done_s, size

    recorder = Recorder(50.0)
    ClosedLoop(exchange=Dead(users=1), load=ClosedLoad(users=1, duration_s=0.1), recorder=recorder).run()
    assert recorder.requests == recorder.errors <= 11


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (Load(rate_rps=1, duration_s=30), {"first": (0, 10), "middle": (10, 20), "last": (20, 30)}),
        (
            Load(rate_rps=1, duration_s=30, shape=Spike(at_s=10, lasts_s=5)),
            {"before": (0, 10), "spike": (10, 15), "after": (16, 30)},
        ),
        (Load(rate_rps=1, duration_s=8, shape=Steps(factors=(1, 2))), {"step_1": (0, 4), "step_2": (4, 8)}),
        (ClosedLoad(users=1, duration_s=3), {"first": (0, 1), "middle": (1, 2), "last": (2, 3)}),
    ],
)
def test_the_parts_of_a_drill_follow_its_shape(load, expected):
    assert spans(load) == expected


def test_the_window_of_a_recorder_has_exact_percentiles_of_what_was_due_in_it():
    recorder = Recorder(50.0)
    for number in range(300):
        due_s = number / 100
        recorder.sent(due_s, due_s)
        recorder.outcome(due_s, due_s + (0.5 if due_s >= 2 else 0.010), "503" if number == 7 else None)
    calm, slow = recorder.window(0, 2), recorder.window(2, 9)
    assert (calm["p50_ms"], calm["p99_ms"], calm["errors"], calm["sent"]) == (10.0, 10.0, 1, 200)
    assert (slow["p50_ms"], slow["sent"]) == (500.0, 100)
    assert recorder.window(50, 60)["p99_ms"] == 0.0


@pytest.mark.parametrize(
    ("steps", "kept"),
    [([(10, 0), (20, 0), (900, 0)], 2), ([(900, 0), (1, 0), (1, 0)], 0), ([(1, 0), (1, 0.5), (1, 0)], 1)],
)
def test_the_highest_kept_step_is_the_last_before_the_first_broken_one(steps, kept):
    load = Load(rate_rps=1, duration_s=9, shape=Steps(factors=(1, 2, 4)))
    slo = Slo(p50_ms=50, p99_ms=100, max_error_rate=0.01)
    plan = make_plan().model_copy(update={"load": load, "slo": slo})
    found = {str(place): {"p99_ms": p99, "error_rate": rate} for place, (p99, rate) in enumerate(steps)}
    assert kept_factor(plan, found) == kept
    assert kept_factor(make_plan(), found) is None
