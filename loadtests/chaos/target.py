"""The running server of a home folder, as its faults and benchmarks see it: its processes, its address, its models.

A server's processes carry its private run folder in their environment (see docs/serving.md), so only they are found.
"""

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from drillyard.core import processes
from drillyard.core.errors import ServiceUnreachable
from drillyard.core.settings import NO_TELEMETRY, Settings

REPLICA_PORTS = range(30000, 40000)  # Ray Serve's direct ingress over HTTP
_LISTEN = "0A"  # the kernel's number of that state
CONTROLLER, HAPROXY = "ray::ServeController", "/haproxy -"


@dataclass(frozen=True, kw_only=True)
class Target:
    """One model of a running server."""

    settings: Settings
    run_dir: Path
    url: str
    model: str
    models: dict[str, int]  # all that the server was started with: version by name

    @classmethod
    def of(cls, settings: Settings, model: str) -> Self:
        """Raises ServiceUnreachable when no server of this home was started."""
        try:
            state = json.loads(settings.server_state.read_bytes())
        except FileNotFoundError:
            remedy = "start it with `drillyard serve up --detach`"
            raise ServiceUnreachable("the server", str(settings.home), remedy) from None
        run_dir = Path(state["run_dir"])
        return cls(settings=settings, run_dir=run_dir, url=state["url"], model=model, models=state["models"])

    def replicas(self) -> list[int]:
        """Process ids of the model's replicas."""
        return self.processes(f"ray::ServeReplica:{self.model}:")

    def controller(self) -> list[int]:
        """Process id of Serve's controller."""
        return self.processes(CONTROLLER)

    def haproxy(self) -> list[int]:
        """Process ids of HAProxy."""
        return self.processes(HAPROXY)

    def challenger(self) -> int | None:
        """The version that answers or sees requests beside the champion, as the server says now."""
        variants = json.loads(self.settings.server_state.read_bytes()).get("variants", {})
        version: int | None = variants.get(self.model, {}).get("challenger")
        return version

    def processes(self, words: str) -> list[int]:
        """Process ids of the server's own processes whose command line holds these words."""
        return sorted(processes.saying(words, processes.belonging_to(self.run_dir)))


def serves_requests(pid: int) -> bool:
    """Whether a replica listens on its HTTP port, which it does once its model has answered.

    It is looked for in the network that the process lives in (psutil looks in ours only).
    """
    with suppress(OSError):  # it ended meanwhile
        sockets = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            port = int(fields[1].rpartition(":")[2], 16)
            if fields[3] == _LISTEN and port in REPLICA_PORTS and f"socket:[{fields[9]}]" in sockets:
                return True
    return False


def drillyard(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Our own command, as a person would give it in this environment."""
    command = [sys.executable, str(Path(sys.executable).parent / "drillyard"), *arguments]
    return subprocess.run(command, env={**os.environ, **NO_TELEMETRY}, capture_output=True, check=False)
