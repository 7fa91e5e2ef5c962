"""Reading what processes cost: on this very process, and on made-up threads."""

import os
import threading
import time

import pytest

from designs.twin import meter


def counters(threads: dict[meter.Thread, tuple[float, float]], calls: float = 0, calls_s: float = 0) -> meter.Counters:
    return meter.Counters(
        busy_s=calls, proxy={(1, 1): (calls, 0.5)}, replicas=threads, calls=calls, calls_s=calls_s, rows=0
    )


def test_a_thread_that_computes_is_seen_to() -> None:
    before = meter.threads([os.getpid()])
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass
    mine = (os.getpid(), threading.get_native_id())
    assert meter.threads([os.getpid()])[mine][0] - before[mine][0] == pytest.approx(0.05, abs=0.02)


def test_a_quick_models_loop_is_each_replicas_busiest_thread() -> None:
    first = counters({(5, 50): (1.0, 0.1), (5, 51): (9.0, 0.0), (6, 60): (0.0, 0.0)})
    last = counters({(5, 50): (3.0, 0.4), (5, 51): (9.1, 0.0), (6, 60): (1.0, 0.2), (6, 61): (0.5, 0.0)}, 10, 0.001)
    work = meter.between(first, last)
    assert (work.loop_s, work.loop_wait_s) == (pytest.approx(3.0), pytest.approx(0.5))
    assert (work.calls, work.calls_s, work.proxy_s, work.busy_s) == (10, 0.001, 10, 10)


def test_beside_a_model_thread_the_loop_is_the_older_of_the_two_busiest() -> None:
    first = counters({(5, 50): (0.0, 0.0), (5, 51): (0.0, 0.0)})
    last = counters({(5, 50): (0.1, 0.0), (5, 51): (2.0, 0.3), (5, 77): (4.0, 0.1)})
    assert meter.between(first, last).loop_s == pytest.approx(2.0)


def test_threads_that_end_while_they_are_read_are_left_out() -> None:
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            threading.Thread(target=lambda: None).start()

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        for _ in range(100):
            assert (os.getpid(), os.getpid()) in meter.threads([os.getpid()])
    finally:
        stop.set()
        churning.join()
