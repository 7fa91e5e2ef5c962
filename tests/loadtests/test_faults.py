"""Faults strike the processes of the one server they are meant for, and no other, and are undone."""

import dataclasses
import json
import signal
import subprocess
import time
from pathlib import Path
from threading import Event

import pytest

from drillyard.core.errors import InvalidMeasurement, ServiceUnreachable, UsageError
from drillyard.core.settings import Settings
from loadtests.chaos import faults, injections, neighbour, versions
from loadtests.chaos.target import Target
from tests.loadtests.support.stand_ins import Server

NEVER = Event()


def state(process: "subprocess.Popen[bytes]") -> str:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_only_this_servers_processes_of_this_model_are_struck(server: Server, tmp_path: Path) -> None:
    ours = server.replica()
    others = [server.replica(model="vision"), server.replica(run_dir=tmp_path / "ab")]
    assert server.target.replicas() == [ours.pid]
    with faults.get("kill-replica").prepare(server.target) as inject, inject(server.target, NEVER):
        assert ours.wait(5) == -signal.SIGKILL
    assert [other.poll() for other in others] == [None, None]


def test_a_cold_start_takes_every_replica(server: Server) -> None:
    both = [server.replica(), server.replica()]
    with faults.get("cold-start").prepare(server.target) as inject, inject(server.target, NEVER):
        assert [process.wait(5) for process in both] == [-signal.SIGKILL] * 2


@pytest.mark.parametrize("fault", ["freeze-replica", "slow-model"])
def test_a_stopped_process_goes_on_when_the_block_is_left_by_an_error(server: Server, fault: str) -> None:
    ours = server.replica()
    seen = set()
    strike = faults.get(fault).prepare(server.target)
    with pytest.raises(KeyboardInterrupt), strike as inject, inject(server.target, NEVER):  # noqa: PT012
        deadline = time.monotonic() + 5
        while "T" not in seen and time.monotonic() < deadline:
            seen.add(state(ours))
        raise KeyboardInterrupt
    assert "T" in seen
    assert state(ours) in "SR"


def test_a_slow_model_stands_still_for_its_share_of_the_time(server: Server) -> None:
    ours = server.replica()
    states = []
    with injections.slow(Target.replicas, still_s=0.06, period_s=0.08)(server.target, NEVER):
        until = time.monotonic() + 1
        while time.monotonic() < until:
            states.append(state(ours))
            time.sleep(0.002)
    assert 0.5 < states.count("T") / len(states) < 0.95


def test_a_rolling_restart_waits_for_the_successor_before_it_goes_on(server: Server) -> None:
    first, second = server.replica(), server.replica()
    alive_when_replaced = []

    def replace() -> None:
        first.wait(5)
        alive_when_replaced.append(second.poll() is None)
        server.replica()
        second.wait(5)
        server.replica()

    roll = injections.roll(Target.replicas, serves=lambda _: True, settle_s=0)
    with server.meanwhile(replace), roll(server.target, NEVER):
        assert alive_when_replaced == [True]
        assert len(set(server.target.replicas()) - {first.pid, second.pid}) == 2


def test_a_rolling_restart_without_a_successor_is_no_measurement(server: Server) -> None:
    server.replica()
    impatient = injections.roll(Target.replicas, patience_s=0.3)(server.target, NEVER)
    with pytest.raises(InvalidMeasurement, match="was not replaced within"), impatient:
        pass


def test_a_lost_registry_comes_back(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Path(server.target.settings.tracking_uri.removeprefix("sqlite:///"))
    database.write_text("the registry")
    asked = []
    monkeypatch.setattr(injections, "must_refuse", lambda *words: asked.append((words, database.exists())))
    with injections.lose_registry(server.target, NEVER):
        assert not database.exists()
    assert asked == [(("serve", "sync", "fraud"), False)]
    assert database.read_text() == "the registry"

    def found(*_: str) -> None:
        raise InvalidMeasurement("it was found")

    monkeypatch.setattr(injections, "must_refuse", found)
    with pytest.raises(InvalidMeasurement), injections.lose_registry(server.target, NEVER):
        pass
    assert database.read_text() == "the registry"


def test_a_registry_that_a_killed_drill_left_hidden_is_not_written_over(server: Server) -> None:
    database = Path(server.target.settings.tracking_uri.removeprefix("sqlite:///"))
    database.write_text("an empty one, made meanwhile")
    hidden = database.with_suffix(".hidden")
    hidden.write_text("the registry")
    with pytest.raises(UsageError, match="mv it to"), injections.lose_registry(server.target, NEVER):
        pass
    assert (database.read_text(), hidden.read_text()) == ("an empty one, made meanwhile", "the registry")


def test_a_new_version_is_of_the_graph_that_is_served(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = server.target.settings
    served = settings.models / "fraud" / "1" / "card.json"
    runs = {name: settings.runs / name / "model" / "card.json" for name in ("fraud-base-1", "fraud-single-2")}
    for card, graph in ((served, "aa"), (runs["fraud-base-1"], "aa"), (runs["fraud-single-2"], "bb")):
        card.parent.mkdir(parents=True)
        card.write_text(json.dumps({"onnx_sha256": graph, "version": 7}))
    registered = []

    def must(*words: str) -> None:
        registered.append(json.loads((Path(words[-1]) / "model" / "card.json").read_text()))

    monkeypatch.setattr(versions, "must", must)
    with versions.newer(server.target):
        assert registered == [{"onnx_sha256": "aa", "version": 0}]
    runs["fraud-base-1"].unlink()
    with pytest.raises(UsageError, match="the run that fraud/1 is of"), versions.newer(server.target):
        pass


def test_a_canary_that_the_server_rolled_back_by_itself_needs_no_end(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refused(*arguments: str) -> bytes:
        asked.append(arguments)
        raise InvalidMeasurement("expected one with a canary or shadow")

    monkeypatch.setattr(versions, "must", refused)
    record = server.target.settings.server_state
    record.write_text(json.dumps({"variants": {"fraud": {"challenger": None}}}))
    versions.withdraw(server.target)
    assert asked == [("serve", "rollback", "fraud")]
    record.write_text(json.dumps({"variants": {"fraud": {"challenger": 2}}}))
    with pytest.raises(InvalidMeasurement, match="expected one"):
        versions.withdraw(server.target)


def test_what_is_not_there_cannot_be_struck(server: Server, tmp_path: Path) -> None:
    strike = injections.kill(Target.haproxy)(server.target, NEVER)
    with pytest.raises(ServiceUnreachable, match="is the server of this home running"), strike:
        pass
    with pytest.raises(UsageError, match="one of kill-replica"):
        faults.get("earthquake")
    with pytest.raises(ServiceUnreachable, match="serve up"):
        Target.of(Settings.from_env({"DRILLYARD_HOME": str(tmp_path / "empty")}), "fraud")


def test_a_hot_model_that_nobody_could_ask_is_no_measurement(server: Server) -> None:
    with pytest.raises(UsageError, match="two served models"), neighbour.hot(server.target, NEVER):
        pass
    target = dataclasses.replace(server.target, models={"fraud": 1, "vision": 1})  # neither address nor samples
    hot = neighbour.hot(target, NEVER)
    with pytest.raises(InvalidMeasurement, match=r"nobody asked the hot model: .*samples"), hot:
        pass


def test_our_own_command_tells_how_it_failed() -> None:
    with pytest.raises(InvalidMeasurement, match="`drillyard models show` ended with code 2"):
        injections.must("models", "show")
    with pytest.raises(InvalidMeasurement, match="should not have"):
        injections.must_refuse("--help")
