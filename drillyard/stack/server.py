"""One server program as a child: started, waited for, and ended however the block is left."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from drillyard.core import programs
from drillyard.core.errors import ServiceUnreachable

_START_TIMEOUT_S, _STOP_TIMEOUT_S, _LOG_TAIL_LINES = 90.0, 20.0, 20


@dataclass(frozen=True, kw_only=True)
class Server:
    """What is started and how it is known to be ready; nothing secret may stand in `command`, which all users see."""

    name: str
    command: tuple[str, ...]
    folder: Path  # where it works, and writes NAME.log
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)  # beside this process's own
    user: str | None = None  # whom it runs as; None: as this process
    stop: signal.Signals = signal.SIGTERM


@contextmanager
def running(server: Server) -> Iterator["subprocess.Popen[bytes]"]:
    """The server while it runs. Raises ServiceUnreachable with the end of its log when it does not become ready.

    It has a session of its own, so that a terminal's Ctrl-C reaches this process only, which ends its servers in order;
    when this process is killed, the kernel tells the server to stop.
    """
    log = server.folder / f"{server.name}.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [*as_user(server.user), "--pdeathsig", server.stop.name.removeprefix("SIG"), "--", *server.command],
            cwd=server.folder,
            env={**os.environ, **server.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(server, child, log)
        yield child
    finally:
        _end(child, server.stop)


def as_user(user: str | None) -> list[str]:
    """The beginning of a command that runs as that user. Raises ProgramMissing."""
    setpriv = programs.find("setpriv", "util-linux")
    return [setpriv] if user is None else [setpriv, f"--reuid={user}", f"--regid={user}", "--clear-groups"]


def _wait_until_ready(server: Server, child: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not server.ready():
        if child.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
            raise ServiceUnreachable(server.name, str(server.folder), f"{log} ends with\n{tail}")
        time.sleep(0.1)


def _end(child: "subprocess.Popen[bytes]", how: signal.Signals) -> None:
    child.send_signal(how)
    try:
        child.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    with suppress(ProcessLookupError):  # the usual case: it left nothing behind
        os.killpg(child.pid, signal.SIGKILL)
