"""Strikes during a drill: on time, watched until the server is whole, undone however it ends; and their marks."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import pytest

from drillyard.core.errors import ServiceUnreachable, UsageError
from drillyard.core.slo import DrillResult, Strike
from loadtests.chaos import faults
from loadtests.chaos.marks import Blow, disturbed_s, marked
from loadtests.chaos.strikes import Strikes
from loadtests.generator.progress import Progress
from tests.loadtests.support.builders import make_plan, make_result
from tests.loadtests.support.stand_ins import Server


def line(t_s: float, phase: str = "drill") -> Progress:
    counts = {"sent": 1, "ok": 1, "errors": 0, "slow": 0, "rate_rps": 1.0, "p99_ms": 1.0, "budget_left": None}
    latencies = {"latency_counts": (), "latency_sum_s": 0.0}
    return Progress(phase=phase, t_s=t_s, duration_s=10, **counts, **latencies)


def strikes(server: Server, *given: Strike, answers: bool = True) -> Strikes:
    return Strikes(given, server.target, lambda: answers)


def test_a_killed_replica_counts_as_whole_once_another_stands(server: Server) -> None:
    ours, _ = server.replica(), server.replica()
    struck = strikes(server, Strike(fault="kill-replica", at_s=0.4))
    with struck.prepared():
        struck.follow(line(5.0, "warm-up"))  # the load has not begun
        time.sleep(0.2)
        assert ours.poll() is None
        struck.follow(line(0.1))
        ours.wait(5)
        time.sleep(0.6)
        server.replica()
        (blow,) = struck.finish()
    assert 0.4 <= blow.struck_s < 1.0
    assert blow.ended_s is not None
    assert blow.whole_s is not None
    assert blow.struck_s + 0.5 < blow.whole_s


def test_a_fault_that_outlasts_the_load_is_undone_with_it(server: Server) -> None:
    server.replica()
    struck = strikes(server, Strike(fault="freeze-replica", at_s=0, lasts_s=60))
    with struck.prepared():
        struck.follow(line(0.1))
        time.sleep(0.4)
        began = time.monotonic()
        (blow,) = struck.finish()
    assert time.monotonic() - began < 5
    assert blow.ended_s is not None
    assert blow.whole_s is not None
    assert blow.whole_s >= blow.ended_s


@contextmanager
def noted(undone: list[str], entered: Event) -> Iterator[None]:
    try:
        entered.set()
        yield
    finally:
        undone.append("injection")


def catalogue_with(monkeypatch: pytest.MonkeyPatch, undone: list[str]) -> Event:
    """A fault that does nothing and tells when it is undone; the event is set when it strikes."""
    entered = Event()

    @contextmanager
    def prepare(_: object) -> Iterator[object]:
        try:
            yield lambda target, over: noted(undone, entered)
        finally:
            undone.append("preparation")

    fault = faults.Fault(name="noted", purpose="", prepare=prepare, lasts_s=60)  # type: ignore[arg-type]
    monkeypatch.setitem(faults.FAULTS, "noted", fault)
    return entered


def test_ctrl_c_undoes_the_injection_first_and_then_what_was_prepared(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    undone: list[str] = []
    entered = catalogue_with(monkeypatch, undone)
    struck = strikes(server, Strike(fault="noted", at_s=0), answers=False)
    with pytest.raises(KeyboardInterrupt), struck.prepared():  # noqa: PT012
        struck.follow(line(0.1))
        assert entered.wait(10)
        raise KeyboardInterrupt
    assert undone == ["injection", "preparation"]


def test_a_strike_that_never_came_leaves_no_mark(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    undone: list[str] = []
    catalogue_with(monkeypatch, undone)
    struck = strikes(server, Strike(fault="noted", at_s=50))
    with struck.prepared():
        struck.follow(line(0.1))
        assert struck.finish() == []
    assert undone == ["preparation"]


def test_a_strike_that_cannot_be_carried_out_ends_the_drill(server: Server) -> None:
    struck = strikes(server, Strike(fault="kill-haproxy", at_s=0))
    with pytest.raises(ServiceUnreachable, match="a process to strike"), struck.prepared():  # noqa: PT012
        for second in range(100):
            struck.follow(line(0.1 + second))
            time.sleep(0.1)


def test_strikes_need_a_server_and_a_known_fault(server: Server) -> None:
    with pytest.raises(UsageError, match="server of this home"):
        Strikes((Strike(fault="kill-replica", at_s=1),), None, Event().is_set)
    with pytest.raises(UsageError, match="earthquake"):
        strikes(server, Strike(fault="earthquake", at_s=1))


def drilled(seconds: int, bad: tuple[int, ...]) -> DrillResult:
    """A result in which these seconds had an error."""
    series = {"errors": [float(t in bad) for t in range(seconds)], "p99_ms": [1.0] * seconds}
    return make_result(make_plan(duration_s=seconds), series=series)


def blow(struck_s: float, whole_s: float | None, ended_s: float | None = None) -> Blow:
    return Blow(fault="x", struck_s=struck_s, ended_s=ended_s or struck_s, whole_s=whole_s)


@pytest.mark.parametrize(
    ("bad_seconds", "whole_s", "detected_s", "recovered_s"),
    [
        ((), 4.0, None, 4.0),  # nobody noticed: over when the processes are back
        ((3,), 4.0, 3.3, 4.0),  # noticed in the second in which it struck, but not before it struck
        ((5, 6), 4.0, 5.0, 7.0),  # the processes were back before the answers were good
        ((5, 7, 8), 4.0, 5.0, 9.0),  # one good second between bad ones is no recovery
        ((5, 19), 4.0, 5.0, 6.0),  # what comes long after is not its doing
        (tuple(range(5, 20)), 4.0, 5.0, None),  # bad until the end
        ((5,), None, 5.0, None),  # the processes never came back
        ((0, 1), 4.0, None, 4.0),  # bad before it struck
    ],
)
def test_marks_say_when_callers_noticed_and_when_it_was_over(
    bad_seconds: tuple[int, ...], whole_s: float | None, detected_s: float | None, recovered_s: float | None
) -> None:
    result = drilled(20, bad_seconds)
    assert disturbed_s(result) == len(bad_seconds)
    (mark,) = marked(result, [blow(3.3, whole_s)]).faults
    assert (mark.struck_s, mark.detected_s, mark.recovered_s, mark.whole_s) == (3.3, detected_s, recovered_s, whole_s)


def test_a_drill_without_a_strike_has_no_marks() -> None:
    assert marked(drilled(20, (3,)), []).faults == ()


def test_what_follows_a_second_strike_is_the_seconds_doing() -> None:
    result = drilled(20, (3, 12, 13))
    first, second = marked(result, [blow(3.0, 4.0), blow(12.0, 12.5)]).faults
    assert (first.detected_s, first.recovered_s) == (3.0, 4.0)
    assert (second.detected_s, second.recovered_s) == (12.0, 14.0)
