"""Processes that look like those of a server to what strikes them: they carry its mark and sleep."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from drillyard.core.processes import MARK
from drillyard.core.settings import Settings
from loadtests.chaos.target import Target


class Server:
    """A home with the record of a running server, and the processes made for it."""

    def __init__(self, home: Path) -> None:
        self._run_dir = home / "run"
        settings = Settings.from_env({"DRILLYARD_HOME": str(home)})
        state = {"run_dir": str(self._run_dir), "url": "http://127.0.0.1:1", "models": {"fraud": 1}}
        settings.server_state.write_text(json.dumps(state))
        self.target = Target.of(settings, "fraud")
        self._started: list[subprocess.Popen[bytes]] = []

    def replica(self, model: str = "fraud", run_dir: Path | None = None) -> "subprocess.Popen[bytes]":
        """A sleeping child with a replica's command line; returns when it can be found."""
        environment = {**os.environ, MARK: str(run_dir or self._run_dir)}
        sleep = [f"ray::ServeReplica:{model}:model", "60"]
        process = subprocess.Popen(sleep, executable=shutil.which("sleep"), env=environment)
        self._started.append(process)
        deadline = time.monotonic() + 10
        while b"ServeReplica" not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return process

    @contextmanager
    def meanwhile(self, work: Callable[[], None]) -> Iterator[None]:
        """Run it beside the block; what it raises is raised at the end."""
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(work)
            yield
            done.result()

    def end(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()
