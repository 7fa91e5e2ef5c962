"""Hosts with addresses of their own on one machine: network namespaces on a bridge (Linux, iproute2, root).

Nothing leaves the machine: the bridge has no way out, and its addresses are this module's own.
"""

import os
import random
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from drillyard.core import processes, programs
from drillyard.core.errors import DrillyardError, ExitCode


class NotPermitted(DrillyardError):
    """This process may not make network namespaces."""

    exit_code = ExitCode.UNREACHABLE


@dataclass(frozen=True, kw_only=True)
class Host:
    """One network namespace."""

    name: str
    address: str
    link: str  # the end of its cable at the bridge

    def command(self, *words: str) -> list[str]:
        """The command, as it is run there."""
        return [programs.find("ip", "iproute2"), "netns", "exec", self.name, *words]

    def processes(self, words: str = "") -> list[int]:
        """Process ids of what runs there, of those only whose command line holds `words`."""
        return processes.saying(words, map(int, _ip("netns", "pids", self.name).split()))

    def cut(self) -> None:
        """Nothing comes in or goes out any more; nobody is told."""
        _ip("link", "set", self.link, "down")

    def mend(self) -> None:
        _ip("link", "set", self.link, "up")

    def kill(self) -> None:
        """Everything that runs there dies at once, as when a machine loses its power."""
        while pids := self.processes():  # one may start another meanwhile
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True, kw_only=True)
class Network:
    """Hosts that reach each other, and this machine at the gateway's address."""

    gateway: str
    hosts: tuple[Host, ...]


@contextmanager
def network(count: int) -> Iterator[Network]:
    """So many hosts; when the block is left they are gone, with whatever still runs there.

    Raises ProgramMissing, and NotPermitted where namespaces may not be made.
    """
    mark, subnet = f"dy{secrets.token_hex(3)}", f"10.{random.randrange(200, 250)}.{random.randrange(256)}"
    hosts = tuple(Host(name=f"{mark}-{i}", address=f"{subnet}.{i + 1}", link=f"{mark}-l{i}") for i in range(count))
    gateway = f"{subnet}.254"
    with ExitStack() as made:
        _ip("link", "add", mark, "type", "bridge")
        made.callback(_ip, "link", "delete", mark)
        _ip("address", "add", f"{gateway}/24", "dev", mark)
        _ip("link", "set", mark, "up")
        for host in hosts:
            made.enter_context(_host(host, mark))
        yield Network(gateway=gateway, hosts=hosts)


@contextmanager
def _host(host: Host, bridge: str) -> Iterator[None]:
    _ip("netns", "add", host.name)
    try:
        _ip("link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", host.name)
        _ip("link", "set", host.link, "master", bridge, "up")
        _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", host.name, "link", "set", "eth0", "up")
        _ip("-n", host.name, "link", "set", "lo", "up")
        yield
    finally:
        host.kill()
        _ip("netns", "delete", host.name)  # its cable goes with it


def _ip(*words: str) -> str:
    done = subprocess.run([programs.find("ip", "iproute2"), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotPermitted(
            f"`ip {' '.join(words)}` failed: {done.stderr.strip()}; it needs root and network namespaces"
        )
    return done.stdout
