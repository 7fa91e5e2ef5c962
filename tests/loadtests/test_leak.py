"""A process that was started for it leaks what it is told, for real; another refuses."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drillyard.core.errors import UsageError
from drillyard.core.processes import MARK
from loadtests.chaos import leak


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_a_process_started_for_it_leaks_what_it_is_told_and_only_then(tmp_path: Path) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    marked = {**os.environ, MARK: str(tmp_path)}
    able = subprocess.Popen(sleep, env=marked | leak.environment(os.environ))
    unable = subprocess.Popen(sleep, env=marked)
    try:
        time.sleep(0.5)
        before = resident_mib(able.pid)
        leak.leak(able.pid, tmp_path, 64 * 2**20)
        deadline = time.monotonic() + 20
        while resident_mib(able.pid) < before + 60 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)
        assert before + 60 < resident_mib(able.pid) < before + 80
        with pytest.raises(UsageError, match="in the environment of the server"):
            leak.leak(unable.pid, tmp_path, 1)
    finally:
        for process in (able, unable):
            process.kill()
            process.wait()
