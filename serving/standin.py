"""An HAProxy that answers while Ray Serve replaces a killed one.

There is one HAProxy on a node. When it dies, Serve notices by its health checks and starts the actor that manages it
again, which takes seconds, and for that time connections would be refused. The supervisor sees the death at once, as
the kernel tells it, and starts HAProxy with the last configuration that had routes. Serve is not told and does what it
always does; its new HAProxy takes the listening sockets over and tells the stand-in to finish (see haproxy.py).
"""

import logging
import os
import re
import select
import shutil
import socket
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from drillyard.core import processes
from serving.haproxy import BINARY, LAST_CONFIG, PID_FILE, STANDIN_PID, STANDIN_SOCKET
from serving.logs import LOGGER

_LOOK_EVERY_S = 1.0  # also without news: Serve may have started another process
_PAUSE_S = 0.1  # between two looks while nobody serves as Serve wants it
_CONFIG = "standin.cfg"
log = logging.getLogger(LOGGER)


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """Watches the HAProxy of one server, from a thread."""

    folder: Path  # of the wrapper
    port: int  # of HTTP
    ended: threading.Event  # set when the server ends: then a death is no news

    def run(self) -> None:
        """Until the server ends."""
        told = False
        while not self.ended.is_set():
            if self._starter_runs():
                told = False
                self._wait_for_death()
            elif _listens(self.port) or self.ended.is_set():
                self.ended.wait(_PAUSE_S)
            else:
                if not told:
                    log.error("HAProxy is gone; another stands in until Ray Serve has replaced it")
                told = True
                self._stand_in()

    def _pid(self) -> int:
        return int((self.folder / PID_FILE).read_text())

    def _starter_runs(self) -> bool:
        """Whether the process that Serve started last is alive."""
        return processes.start_time(self._pid()) is not None

    def _wait_for_death(self) -> None:
        """Return when that process has ended, at the latest after a look's time."""
        try:
            descriptor = os.pidfd_open(self._pid())
        except ProcessLookupError:  # just now
            return
        try:
            select.select([descriptor], [], [], _LOOK_EVERY_S)
        finally:
            os.close(descriptor)

    def _stand_in(self) -> None:
        """Serve by the last configuration until Serve's next process runs, which tells the stand-in to finish."""
        config = self.folder / _CONFIG
        config.write_text(_without_statistics((self.folder / LAST_CONFIG).read_text(), self.folder / STANDIN_SOCKET))
        command = [str(self.folder / BINARY), "-db", "-dR", "-f", str(config)]
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "KILL", "--", *command]  # it ends with this process
        with (self.folder / "standin.log").open("ab") as output:
            child = subprocess.Popen(command, stdout=output, stderr=output)
        (self.folder / STANDIN_PID).write_text(str(child.pid))
        while child.poll() is None and not self._starter_runs():
            self.ended.wait(_PAUSE_S)
        if child.poll():
            log.error("the stand-in ended with code %s; %s says why", child.returncode, output.name)


def _without_statistics(config: str, admin_socket: Path) -> str:
    """With an admin socket of its own, since Serve must not take it for its process, and nothing but clients' ports.

    The ports of statistics and metrics lie where the kernel takes ports for connections from: they may be gone.
    """
    config = re.sub(r"(?m)^(?:frontend prometheus|listen stats)\n(?:[ \t].*\n|\n)*", "", config + "\n")
    return re.sub(r"(stats socket )\S+", rf"\g<1>{admin_socket}", config)


def _listens(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
    return False
