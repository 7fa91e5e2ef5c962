"""Real faults to a running server of this machine while it is asked: killed and frozen processes, a lost registry.

A server's processes carry its private run folder in their environment (see docs/serving.md), so only they are found.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from drillyard.core import processes
from drillyard.core.errors import ServiceUnreachable, UsageError
from drillyard.core.settings import NO_TELEMETRY, Settings

CONTROLLER, HAPROXY = "ray::ServeController", "/haproxy -"


@dataclass(frozen=True, kw_only=True)
class Target:
    """The server of a home folder, as its faults see it."""

    run_dir: str
    url: str
    model: str
    tracking_uri: str

    @classmethod
    def of(cls, settings: Settings, model: str) -> Self:
        """Raises ServiceUnreachable when no server of this home was started."""
        try:
            state = json.loads(settings.server_state.read_bytes())
        except FileNotFoundError:
            remedy = "start it with `drillyard serve up --detach`"
            raise ServiceUnreachable("the server", str(settings.home), remedy) from None
        return cls(run_dir=state["run_dir"], url=state["url"], model=model, tracking_uri=settings.tracking_uri)

    def replicas(self) -> list[int]:
        """Process ids of the model's replicas."""
        return self.processes(f"ray::ServeReplica:{self.model}:")

    def processes(self, words: str) -> list[int]:
        """Process ids of the server's own processes whose command line holds these words."""
        found = []
        for pid in processes.belonging_to(Path(self.run_dir)):
            with suppress(OSError):  # it ended meanwhile
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if words in command:
                    found.append(pid)
        return sorted(found)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is done, and how many processes of which kind tell that it is over."""

    name: str
    purpose: str
    strike: Callable[[Target], None]
    heals: Callable[[Target], list[int]]  # complete again when it counts as many other processes as before
    lasts_s: float = 0.0  # how long the blow takes
    replaces: bool = True  # the struck process is replaced; else it is the same one that goes on
    may_fail: bool = False  # lost requests are expected, and stated


def kill(find: Callable[[Target], list[int]]) -> Callable[[Target], None]:
    """SIGKILL to the first of them."""
    return lambda target: os.kill(_first(find, target), signal.SIGKILL)


def freeze(find: Callable[[Target], list[int]], seconds: float) -> Callable[[Target], None]:
    """SIGSTOP to the first of them, and SIGCONT after so long; blocks meanwhile."""

    def strike(target: Target) -> None:
        pid = _first(find, target)
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            with suppress(ProcessLookupError):  # Serve may have given it up
                os.kill(pid, signal.SIGCONT)

    return strike


def lose_registry(seconds: float) -> Callable[[Target], None]:
    """Take the embedded registry away for so long, and ask the server to follow it meanwhile."""

    def strike(target: Target) -> None:
        database = Path(target.tracking_uri.removeprefix("sqlite:///"))
        hidden = database.with_suffix(".hidden")
        database.rename(hidden)
        try:
            done = drillyard("serve", "sync", target.model)
            if done.returncode == 0:
                raise AssertionError("the server found a registry that was not there")
            time.sleep(seconds)
        finally:
            hidden.rename(database)

    return strike


def sync(target: Target) -> None:
    """Move the server to the champion of now. Raises CalledProcessError."""
    drillyard("serve", "sync", target.model).check_returncode()


def drillyard(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Our own command, as a person would give it."""
    command = [sys.executable, str(Path(sys.executable).parent / "drillyard"), *arguments]
    return subprocess.run(command, env={**os.environ, **NO_TELEMETRY}, capture_output=True, check=False)


def _first(find: Callable[[Target], list[int]], target: Target) -> int:
    found = find(target)
    if not found:
        raise ServiceUnreachable("a process to strike", target.url, "is the server of this home running?")
    return found[0]


def _controller(target: Target) -> list[int]:
    return target.processes(CONTROLLER)


def _haproxy(target: Target) -> list[int]:
    return target.processes(HAPROXY)


FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            name="kill-replica",
            purpose="kill -9 one of two replicas",
            strike=kill(Target.replicas),
            heals=Target.replicas,
        ),
        Fault(
            name="freeze-replica",
            purpose="SIGSTOP one of two replicas for 5 s",
            strike=freeze(Target.replicas, 5.0),
            lasts_s=5.0,
            heals=Target.replicas,
            replaces=False,
        ),
        Fault(
            name="sick-replica",
            purpose="freeze one of two replicas for 60 s: its health check fails and it is replaced",
            strike=freeze(Target.replicas, 60.0),
            lasts_s=60.0,
            heals=Target.replicas,
        ),
        Fault(
            name="kill-controller",
            purpose="kill -9 Serve's controller",
            strike=kill(_controller),
            heals=_controller,
        ),
        Fault(
            name="new-version",
            purpose="a new champion is registered, and the server moves to it",
            strike=sync,
            heals=Target.replicas,
            replaces=False,
        ),
        Fault(
            name="registry-gone",
            purpose="the registry is lost for a minute, and the server is asked to follow it",
            strike=lose_registry(60.0),
            heals=Target.replicas,
            lasts_s=60.0,
            replaces=False,
        ),
        Fault(
            name="kill-haproxy",
            purpose="kill -9 HAProxy, the only one of this node",
            strike=kill(_haproxy),
            heals=_haproxy,
            may_fail=True,
        ),
    )
}


def get(name: str) -> Fault:
    """Raises UsageError."""
    try:
        return FAULTS[name]
    except KeyError:
        raise UsageError("fault", name, "one of " + ", ".join(FAULTS)) from None
