"""One stack of real stores, started by the command that users have, for all tests of this folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drillyard.core.ports import free_port
from drillyard.core.settings import Settings
from drillyard.stack import postgres, redis
from tests.support import needs


class LiveStack:
    """`drillyard stack` of a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home, self.port, self.output = home, free_port(), home / "output.txt"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        found = self.home / "stack.json"
        found.unlink(missing_ok=True)
        command = [str(Path(sys.executable).parent / "drillyard"), "stack", "--port", str(self.port)]
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, "--json", str(found)],
                env={**os.environ, "DRILLYARD_HOME": str(self.home)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 120
        while not (found.exists() and found.read_text().endswith("}\n")):
            assert self._process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)
        content = json.loads(found.read_text())
        self.environment: dict[str, str] = content["environment"]
        self.ray_environment: dict[str, str] = content["ray_environment"]

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        assert self._process is not None
        self._process.send_signal(how)
        return self._process.wait(60)

    def processes(self) -> list[int]:
        """Everything that it started and that lives: each has its home folder in the environment."""
        mark = f"DRILLYARD_HOME={self.home}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    environment = (entry / "environ").read_bytes().split(b"\0")
                except OSError:  # it ended meanwhile
                    continue
                if mark in environment:
                    found.append(int(entry.name))
        return found

    @property
    def settings(self) -> Settings:
        """Of a client, which has nothing but the server's address."""
        return Settings.from_env(
            {
                "DRILLYARD_HOME": str(self.home / "client"),
                "MLFLOW_TRACKING_URI": self.environment["MLFLOW_TRACKING_URI"],
            }
        )


@pytest.fixture(scope="session")
def stack() -> Iterator[LiveStack]:
    for program, package in (("initdb", postgres.PACKAGE), ("redis-server", redis.PACKAGE)):
        needs.program(program, package, Path("/usr/lib/postgresql").glob("*/bin"))
    # Not pytest's own folder, which root alone may enter: PostgreSQL runs as another user.
    home = Path(tempfile.mkdtemp(prefix="dy-test-stack-", dir="/tmp"))
    home.chmod(0o755)
    found = LiveStack(home)
    found.start()
    yield found
    found.end()
    shutil.rmtree(home)
