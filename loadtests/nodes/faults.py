"""What can happen to a node of a test cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

from drillyard.core.errors import InvalidMeasurement, UsageError
from loadtests.chaos.target import Target
from loadtests.nodes.cluster import Cluster, Node
from loadtests.nodes.target import ClusterTarget

HEAD_AWAY_S = 5.0  # a container starts again about so fast


@contextmanager
def kill_node(target: Target, _: Event) -> Iterator[None]:
    """A node with a replica dies; nothing to undo, the cluster must do without it. Raises InvalidMeasurement."""
    _with_a_replica(_cluster(target), target).kill()
    yield


@contextmanager
def cut_node(target: Target, _: Event) -> Iterator[None]:
    """A node with a replica is off the network until the block is left. Raises InvalidMeasurement."""
    node = _with_a_replica(_cluster(target), target)
    node.cut()
    try:
        yield
    finally:
        node.mend()


@contextmanager
def kill_head(target: Target, over: Event) -> Iterator[None]:
    """The head dies, and another is started in its place some seconds later. Raises ServiceUnreachable."""
    head = _cluster(target).head
    head.kill()
    over.wait(HEAD_AWAY_S)
    head.begin()
    head.stay()
    yield


def replicas_and_controller(target: Target) -> list[int]:
    """What a cluster that lost its head must have again."""
    return [*target.replicas(), *target.controller()]


def _cluster(target: Target) -> Cluster:
    if not isinstance(target, ClusterTarget):
        raise UsageError("strikes", "a fault of a node", "a server on a test cluster (loadtests/nodes)")
    return target.cluster


def _with_a_replica(cluster: Cluster, target: Target) -> Node:
    replicas = set(target.replicas())
    for node in cluster.workers:
        if replicas & set(node.host.processes()):
            return node
    raise InvalidMeasurement("no node but the head runs a replica: nothing would be lost with one")
