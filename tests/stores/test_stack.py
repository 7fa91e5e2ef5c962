"""The stack's parts without its servers: children that end, secrets that stay private, errors that name the package."""

import fcntl
import os
import stat
import sys
import time
from pathlib import Path

import pytest

from drillyard.core import processes, programs, secret
from drillyard.core.errors import ServiceUnreachable, UsageError
from drillyard.stack import run
from drillyard.stack.postgres import postgres
from drillyard.stack.redis import redis
from drillyard.stack.server import Server, running
from pipelines.backup import Stores


def server(folder: Path, script: str, ready: bool = True) -> Server:
    return Server(name="Sleeper", command=(sys.executable, "-c", script), folder=folder, ready=lambda: ready)


def test_a_server_is_ended_when_the_block_is_left_by_an_error(tmp_path: Path) -> None:
    pids = []
    with pytest.raises(KeyboardInterrupt), running(server(tmp_path, "import time; time.sleep(60)")) as child:  # noqa: PT012
        pids.append(child.pid)
        raise KeyboardInterrupt
    assert processes.start_time(pids[0]) is None


def test_what_a_server_started_and_left_behind_is_ended_too(tmp_path: Path) -> None:
    script = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    log = tmp_path / "Sleeper.log"
    with running(server(tmp_path, script)):
        while not log.read_text().endswith("\n"):
            time.sleep(0.01)
    left = int(log.read_text())
    deadline = time.monotonic() + 5
    while processes.start_time(left) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert processes.start_time(left) is None


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    broken = server(tmp_path, "import sys; sys.exit('no such disk')", ready=False)
    with pytest.raises(ServiceUnreachable, match=r"Sleeper\.log ends with\nno such disk"), running(broken):
        pass


@pytest.mark.parametrize(("start", "package"), [(postgres, "postgresql"), (redis, "redis-server")])
def test_a_missing_program_is_said_with_its_package(start, package, tmp_path: Path, monkeypatch) -> None:
    setpriv = tmp_path / "bin" / "setpriv"
    setpriv.parent.mkdir()
    setpriv.symlink_to(programs.find("setpriv", "util-linux"))
    monkeypatch.setenv("PATH", str(setpriv.parent))
    monkeypatch.setattr("drillyard.stack.postgres._VERSIONS", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(programs.ProgramMissing, match=f"apt-get install {package}"), start(tmp_path / "home"):
        pass


def test_a_secret_is_its_owners_only_also_where_a_public_file_was(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    path.chmod(0o644)
    secret.write(path, "new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)


def test_a_second_stack_of_a_home_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="does not run already"), run(tmp_path, port=1, say=print):
            pass


def test_a_backup_wants_postgresql_and_shows_no_password() -> None:
    with pytest.raises(UsageError) as refused:
        Stores(database="mysql://root:hunter2@db/mlflow", artifacts="s3://mlflow")
    assert "postgresql://" in str(refused.value)
    assert "hunter2" not in str(refused.value)
