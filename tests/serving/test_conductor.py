"""Commands as they come over the socket, and the registry's watcher, around rollouts that remember."""

import contextlib
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from drillyard.core.errors import ServiceUnreachable, UsageError
from serving.conductor import Conductor
from serving.state import VariantState

LIMITS = {"failed": 0.01, "slow": 0.01, "slow_s": 0.05, "disagreed": 0.1}


class FakeRollouts:
    """Remembers what it was asked for; ends the watcher at the fifth sync; its registry is away when it is told."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.asked: list[tuple[Any, ...]] = []
        self.away: list[bool] = []
        self.state = {"fraud": VariantState(champion=7)}

    def followed(self) -> list[str]:
        return ["fraud"]

    def sync(self, name: str, *, unasked: bool = False) -> VariantState:
        self.asked.append(("sync", name, unasked))
        if len(self.asked) == 5:
            self.ended.set()
        if self.away and self.away.pop(0):
            raise ServiceUnreachable("MLflow", "x", "wait")
        return VariantState(champion=8)

    def canary(self, name: str, percent: float, version: int | None, limits: Any) -> VariantState:
        self.asked.append(("canary", name, percent, version, limits.slow_s))
        return VariantState(champion=7, challenger=8, percent=percent)

    def shadow(self, name: str, version: int | None, limits: Any) -> VariantState:
        self.asked.append(("shadow", name, version))
        return VariantState(champion=7, challenger=8, shadow=True)

    def rollback(self, name: str) -> VariantState:
        self.asked.append(("rollback", name))
        return VariantState(champion=7)


@pytest.fixture
def rollouts() -> FakeRollouts:
    return FakeRollouts()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def conductor(rollouts: FakeRollouts, said: list[str]) -> Conductor:
    return Conductor(rollouts, watch_s=None, say=said.append, ended=rollouts.ended)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("command", "asked", "champion"),
    [
        ({"command": "status"}, [], 7),
        ({"command": "sync", "models": []}, [("sync", "fraud", False)], 8),
        ({"command": "rollback", "model": "fraud"}, [("rollback", "fraud")], 7),
        ({"command": "shadow", "model": "fraud", "version": None, "limits": LIMITS}, [("shadow", "fraud", None)], 7),
        (
            {"command": "canary", "model": "fraud", "version": 8, "percent": 5.0, "limits": LIMITS},
            [("canary", "fraud", 5.0, 8, 0.05)],
            7,
        ),
    ],
)
def test_each_command_is_carried_out(
    conductor: Conductor, rollouts: FakeRollouts, command: dict[str, Any], asked: list[Any], champion: int
) -> None:
    assert conductor.answer(command)["fraud"]["champion"] == champion
    assert rollouts.asked == asked


@pytest.mark.parametrize(
    "command",
    [
        {},
        {"command": "stop"},
        {"command": "sync"},
        {"command": "canary", "model": "fraud"},
        {"command": "shadow", "model": "fraud", "version": 1, "limits": {"speed": 1}},
        {"command": "shadow", "model": "fraud", "version": 1, "limits": LIMITS | {"failed": 2}},
    ],
)
def test_commands_that_are_none_are_refused_by_name(conductor: Conductor, command: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        conductor.answer(command)


def test_the_watcher_outlives_a_registry_that_is_away_and_says_so_once(
    conductor: Conductor, rollouts: FakeRollouts, said: list[str]
) -> None:
    rollouts.away = [True, True, False, True]
    conductor.watch(0.001)
    assert rollouts.asked == [("sync", "fraud", True)] * 5
    assert said == ["fraud stays as it is: MLflow at x does not answer; wait"] * 2, "once for each time it went away"


class SignalledError(BaseException):
    pass


def test_a_signal_ends_the_run_also_in_the_middle_of_a_call_that_swallows_everything(
    conductor: Conductor, rollouts: FakeRollouts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = threading.Event()

    def tick() -> None:  # as calls into Ray are, now and then
        with contextlib.suppress(BaseException):
            inside.set()
            time.sleep(0.5)

    def signalled(*_: object) -> None:
        assert inside.is_set()
        raise SignalledError

    monkeypatch.setattr("serving.conductor.TICK_S", 0.0)
    rollouts.tick = tick  # type: ignore[attr-defined]
    before = signal.signal(signal.SIGALRM, signalled)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(SignalledError):
            conductor.run(tmp_path)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert rollouts.ended.is_set()
