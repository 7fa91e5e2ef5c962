"""Which processes belong to a server or a training cluster, and ending them, by process id and never by name.

Every process of one carries its private run folder in its environment. That folder's name is random, so the mark
cannot be another program's, however often the kernel hands out the same process id.
"""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

MARK = "DRILLYARD_RUN_DIR"  # environment variable that names the run folder


def start_time(pid: int) -> int | None:
    """Clock ticks from boot to the process's start; with the pid it names one process for good. None: no such."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return None if fields[0] == "Z" else int(fields[19])


def is_running(pid: int, started: int) -> bool:
    """Whether the process that was recorded with this start time still runs."""
    return start_time(pid) == started


def belonging_to(run_dir: Path) -> list[int]:
    """All live processes with this run folder, except the asking one."""
    mark = f"{MARK}={run_dir}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:  # it ended meanwhile, or is another user's
            continue
        if mark in environment.split(b"\0") and start_time(int(entry.name)) is not None:
            found.append(int(entry.name))
    return found


def saying(words: str, pids: Iterable[int]) -> list[int]:
    """Those of the processes whose command line holds these words."""
    found = []
    for pid in pids:
        with suppress(OSError):  # it ended meanwhile
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if words in command:
                found.append(pid)
    return found


def end(run_dir: Path, grace_s: float = 3.0) -> int:
    """End all processes with this run folder: ask, wait, force. Returns how many there were."""
    first = belonging_to(run_dir)
    _signal(first, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while (left := belonging_to(run_dir)) and time.monotonic() < deadline:
        time.sleep(0.05)
    while left:  # a process may start another while it is being ended
        _signal(left, signal.SIGKILL)
        time.sleep(0.05)
        left = belonging_to(run_dir)
    return len(first)


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
