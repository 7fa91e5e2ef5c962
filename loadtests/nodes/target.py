"""A model that a test cluster serves, as the faults of a drill see it."""

from dataclasses import dataclass

from loadtests.chaos.target import Target, serves_requests
from loadtests.nodes.cluster import Cluster


@dataclass(frozen=True, kw_only=True)
class ClusterTarget(Target):
    """`url` is the balancer's; processes are those of the nodes that are on the network."""

    cluster: Cluster

    def processes(self, words: str) -> list[int]:
        return self.cluster.processes(words)

    def replicas(self) -> list[int]:
        """Those that listen already: a replica that is only loading its model helps nobody."""
        return [pid for pid in super().replicas() if serves_requests(pid)]
