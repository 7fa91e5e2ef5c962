"""A model that a test cluster serves, as the faults of a drill see it."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loadtests.chaos.target import REPLICA_PORTS, Target
from loadtests.nodes.cluster import Cluster

_LISTEN = "0A"  # the kernel's number of that state


@dataclass(frozen=True, kw_only=True)
class ClusterTarget(Target):
    """`url` is the balancer's; processes are those of the nodes that are on the network."""

    cluster: Cluster

    def processes(self, words: str) -> list[int]:
        return self.cluster.processes(words)

    def replicas(self) -> list[int]:
        """Those that listen already: a replica that is only loading its model helps nobody."""
        return [pid for pid in super().replicas() if _serves(pid)]


def _serves(pid: int) -> bool:
    """Whether it listens on a replica's port, in the network that it lives in."""
    with suppress(OSError):  # it ended meanwhile
        sockets = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            port = int(fields[1].rpartition(":")[2], 16)
            if fields[3] == _LISTEN and port in REPLICA_PORTS and f"socket:[{fields[9]}]" in sockets:
                return True
    return False
