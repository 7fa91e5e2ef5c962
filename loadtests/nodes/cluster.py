"""A Ray cluster with a node on each host. Nodes end by the death of every process on their host, never by `ray stop`,
which would end all nodes of the machine."""

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from drillyard.core import secret
from drillyard.core.errors import ServiceUnreachable
from drillyard.core.processes import MARK
from drillyard.core.settings import NO_TELEMETRY
from loadtests.generator.child import generator_environment
from loadtests.nodes.net import Host, Network

PORT = 6379
_STARTED = "Ray runtime started."
_START_TIMEOUT_S = 90.0
_MOST_STARTS = 3  # on a busy machine Ray now and then gives up on one of its own processes, and ends


@dataclass(kw_only=True)
class Node:
    """Ray's processes of one host."""

    host: Host
    folder: Path  # everything that a machine of its own would keep to itself
    arguments: tuple[str, ...]  # of `ray start`
    environment: Mapping[str, str]
    is_cut: bool = False
    _starts: int = 0
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def begin(self) -> None:
        """Start it, in a folder that no earlier start has used, and do not wait: see `stay`."""
        self._starts += 1
        here = self.folder / str(self._starts)
        here.mkdir(parents=True)
        ray = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--disable-usage-stats"]
        where = ["--node-ip-address", self.host.address, "--temp-dir", str(here / "ray")]
        with (here / "log").open("wb") as log:
            self._process = subprocess.Popen(
                self.host.command(*ray, *where, *self.arguments),
                env={**self.environment, **_haproxy_files(here)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stay(self) -> None:
        """Until it is part of the cluster; one that gives up is started again. Raises ServiceUnreachable."""
        for left in reversed(range(_MOST_STARTS)):
            try:
                self._wait()
                return
            except ServiceUnreachable:
                if not left:
                    raise
                self.kill()
                self.begin()

    def kill(self) -> None:
        """As when the machine loses its power."""
        self.host.kill()
        if self._process is not None:
            self._process.wait()

    def cut(self) -> None:
        """Off the network; what runs there goes on, and nobody is told."""
        self.host.cut()
        self.is_cut = True

    def mend(self) -> None:
        self.host.mend()
        self.is_cut = False

    def _wait(self) -> None:
        """Raises ServiceUnreachable with what it said."""
        assert self._process is not None
        log = self.folder / str(self._starts) / "log"
        deadline = time.monotonic() + _START_TIMEOUT_S
        while _STARTED not in (said := log.read_text(errors="replace")):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServiceUnreachable("a Ray node", self.host.address, f"it said:\n{said[-2000:]}")
            time.sleep(0.2)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The head is the first of the nodes."""

    nodes: tuple[Node, ...]
    environment: Mapping[str, str]  # of every process that talks to it

    @property
    def head(self) -> Node:
        return self.nodes[0]

    @property
    def workers(self) -> tuple[Node, ...]:
        return self.nodes[1:]

    @property
    def address(self) -> str:
        return f"{self.head.host.address}:{PORT}"

    def processes(self, words: str) -> list[int]:
        """Of all nodes that are on the network: process ids of those whose command line holds `words`."""
        return sorted(pid for node in self.nodes if not node.is_cut for pid in node.host.processes(words))

    def drillyard(self, log: Path, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
        """Our own command, as a person gives it on the head node; what it says goes to the file `log`."""
        command = [sys.executable, str(Path(sys.executable).parent / "drillyard"), *arguments]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as said:
            return subprocess.Popen(
                self.head.host.command(*command),
                env={**self.environment, "RAY_ADDRESS": self.address, **environment},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )


@contextmanager
def cluster(
    network: Network, folder: Path, *, cpus: int, environment: Mapping[str, str], head_environment: Mapping[str, str]
) -> Iterator[Cluster]:
    """A node with so many logical CPUs on each host; when the block is left none runs any more.

    `environment` is that of all nodes, `head_environment` comes on top on the head. Raises ServiceUnreachable.
    """
    token = secret.write(folder / "token", secrets.token_hex(32))
    common = {**_common(token, folder), **environment}
    sizes = ("--num-cpus", str(cpus), "--object-store-memory", str(200 * 2**20))
    nodes = []
    for number, host in enumerate(network.hosts):
        first = ("--head", "--port", str(PORT), "--include-dashboard=false")
        join = ("--address", f"{network.hosts[0].address}:{PORT}")
        nodes.append(
            Node(
                host=host,
                folder=folder / f"node{number}",
                arguments=(*(join if number else first), *sizes),
                environment=common if number else {**common, **head_environment},
            )
        )
    head, *workers = nodes
    try:
        head.begin()
        head.stay()
        for node in workers:
            node.begin()
        for node in workers:
            node.stay()
        yield Cluster(nodes=tuple(nodes), environment=common)
    finally:
        for node in nodes:
            node.kill()


def _common(token: Path, folder: Path) -> dict[str, str]:
    return {
        **generator_environment(None),
        **NO_TELEMETRY,
        MARK: str(folder),
        "SPT_NOENV": "1",  # Ray renames its processes; without this it overwrites the environment with the mark
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",  # Ray's name for "more than this machine"
        # A node that does not answer is given up after about 12 s; by Ray's own values it is about a minute.
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "2000",
        "RAY_health_check_failure_threshold": "4",
        "RAY_agent_register_timeout_ms": "60000",  # else a node of a busy machine ends while it starts
        "RAY_worker_niceness": "0",
        "RAY_enable_metrics_collection": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "eth0",  # the host's name leads elsewhere
    }


def _haproxy_files(here: Path) -> dict[str, str]:
    """Each machine has its own /tmp; these hosts share one."""
    return {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(here / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(here / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(here / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(here),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(here / "server-state"),
    }
