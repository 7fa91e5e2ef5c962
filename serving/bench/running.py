"""One server at a time: start it, wait until it answers right, and leave nothing of it behind."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from drillyard.core import processes
from serving.bench.workload import Question, WrongAnswerError, ask

_START_TIMEOUT_S = 120.0
_GONE_TIMES = 5
_LOG_LINES = 20
_SETTLED_CORES, _SETTLE_STEP_S, _SETTLE_TIMEOUT_S = 0.2, 0.5, 20.0
_PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that listens at `url`; its processes carry `run_dir` as their mark (see drillyard.core.processes)."""

    url: str
    run_dir: Path

    def cpu_s(self) -> float:
        """CPU seconds that its live processes have used so far, in user and system mode."""
        total = 0.0
        for pid in processes.belonging_to(self.run_dir):
            try:
                used = psutil.Process(pid).cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += used.user + used.system
        return total


@contextmanager
def run_folder() -> Iterator[Path]:
    """A private folder that marks a server's processes; on leaving, all of them are ended and the folder removed."""
    folder = Path(tempfile.mkdtemp(prefix="dy-", dir="/tmp"))  # short: Ray puts unix sockets below it
    try:
        yield folder
    finally:
        processes.end(folder)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def process(command: list[str], *, port: int, folder: Path, environment: Mapping[str, str]) -> Iterator[Running]:
    """A peer as a process of its own, working in `folder`."""
    marked = {
        **os.environ,
        **environment,
        processes.MARK: str(folder),
        "SPT_NOENV": "1",  # programs that rename themselves must not write over the mark
        "PYTHONPATH": str(_PROJECT),
        "OMP_NUM_THREADS": "1",
    }
    marked.pop("RAY_ADDRESS", None)
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(command, cwd=folder, env=marked, stdout=log, stderr=log, start_new_session=True)
    try:
        yield Running(url=f"http://127.0.0.1:{port}", run_dir=folder)
    except WrongAnswerError as error:
        tail = "\n".join((folder / "log").read_text(errors="replace").splitlines()[-_LOG_LINES:])
        raise WrongAnswerError(f"{error}\nits log ends with\n{tail}") from error
    finally:
        child.terminate()
        processes.end(folder)
        child.wait()


def wait_until_right(running: Running, questions: tuple[Question, ...]) -> None:
    """Return when every question is answered right, twice (a server may be several processes).

    Raises WrongAnswerError, also when the server ends or does not answer within two minutes.
    """
    deadline = time.monotonic() + _START_TIMEOUT_S
    gone = 0
    while True:
        try:
            ask(urlsplit(running.url).netloc, questions[0])
            break
        except (OSError, HTTPException) as error:
            # A process that has just been started, or replaces its program, shows no mark for a moment.
            gone = 0 if processes.belonging_to(running.run_dir) else gone + 1
            if gone == _GONE_TIMES:
                raise WrongAnswerError("it ended while starting") from error
            if time.monotonic() > deadline:
                raise WrongAnswerError(f"it did not come up within {_START_TIMEOUT_S:.0f} s: {error}") from error
            time.sleep(0.1)
    check(running, questions * 2)


def settle(running: Running) -> None:
    """Wait until the server uses little of a core: some go on starting processes after their first answer."""
    deadline = time.monotonic() + _SETTLE_TIMEOUT_S
    before, used = running.cpu_s(), _SETTLED_CORES * _SETTLE_STEP_S + 1
    while used > _SETTLED_CORES * _SETTLE_STEP_S and time.monotonic() < deadline:
        time.sleep(_SETTLE_STEP_S)
        now = running.cpu_s()
        before, used = now, now - before


def check(running: Running, questions: tuple[Question, ...]) -> None:
    """Ask each question once. Raises WrongAnswerError."""
    for question in questions:
        try:
            ask(urlsplit(running.url).netloc, question)
        except (OSError, HTTPException) as error:
            raise WrongAnswerError(f"it broke off: {error!r}") from error
