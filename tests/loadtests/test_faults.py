"""Faults strike the processes of the one server they are meant for, and no other."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from drillyard.core.errors import ServiceUnreachable, UsageError
from drillyard.core.processes import MARK
from drillyard.core.settings import Settings
from loadtests import faults
from loadtests.faults import Target


def replica(run_dir: str, model: str = "fraud") -> "subprocess.Popen[bytes]":
    """A process that looks like a replica of that server."""
    environment = {**os.environ, MARK: run_dir}
    sleep = [sys.executable, "-c", "import time; time.sleep(60)", f"ray::ServeReplica:{model}:model"]
    return subprocess.Popen(sleep, env=environment)


@pytest.fixture
def target(tmp_path: Path) -> Target:
    settings = Settings.from_env({"DRILLYARD_HOME": str(tmp_path)})
    settings.server_state.write_text(json.dumps({"run_dir": str(tmp_path / "a"), "url": "http://127.0.0.1:1"}))
    return Target.of(settings, "fraud")


@pytest.fixture
def ours(target: Target) -> "Iterator[subprocess.Popen[bytes]]":
    process = replica(target.run_dir)
    deadline = time.monotonic() + 10
    while not target.replicas() and time.monotonic() < deadline:
        time.sleep(0.01)
    yield process
    process.kill()
    process.wait()


def test_only_this_servers_processes_of_this_model_are_struck(
    target: Target, ours: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    others = [replica(str(tmp_path / "ab")), replica(target.run_dir, model="vision")]
    try:
        time.sleep(0.2)
        assert target.replicas() == [ours.pid]
        faults.get("kill-replica").strike(target)
        assert ours.wait(5) == -signal.SIGKILL
        assert [other.poll() for other in others] == [None, None]
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_a_frozen_process_goes_on_afterwards(target: Target, ours: "subprocess.Popen[bytes]") -> None:
    def state() -> str:
        return Path(f"/proc/{ours.pid}/stat").read_text().rpartition(")")[2].split()[0]

    with ThreadPoolExecutor(1) as pool:
        frozen = pool.submit(faults.freeze(Target.replicas, 1.0), target)
        time.sleep(0.3)
        assert state() == "T"
        frozen.result()
    assert state() in "SR"


def test_what_is_not_there_cannot_be_struck(target: Target, tmp_path: Path) -> None:
    with pytest.raises(ServiceUnreachable, match="is the server of this home running"):
        faults.get("kill-haproxy").strike(target)
    with pytest.raises(UsageError, match="one of kill-replica"):
        faults.get("earthquake")
    with pytest.raises(ServiceUnreachable, match="serve up"):
        Target.of(Settings.from_env({"DRILLYARD_HOME": str(tmp_path / "empty")}), "fraud")
