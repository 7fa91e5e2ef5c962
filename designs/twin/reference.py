"""The node as a discrete-event model in SimPy, request by request: the twin with faults and autoscaling.

Slower than `fast` by orders of magnitude and easier to read; the tests hold the two against each other.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from designs.twin.node import Array, Node, loop_times
from designs.twin.replica import Job, Replica, Steps

RETRIES = 3  # to how many others HAProxy gives a request that was not answered (serving/environment.py)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What became of each request, and when the number of replicas changed."""

    latency_s: Array  # (N,) from arrival; NaN where there was no right answer
    refused: int  # 503: no replica had room in time
    failed: int  # given to several replicas, and answered by none
    calls: int  # of the model
    replicas: tuple[tuple[float, int], ...]  # (seconds, how many there are from then on)


class Cluster:
    """A proxy and its replicas."""

    def __init__(self, node: Node) -> None:
        self.env = simpy.Environment()
        self.node = node
        self.replicas: list[Replica] = []
        self.changes: list[tuple[float, int]] = []
        self.calls = 0  # of replicas that are gone
        self._waiting: deque[simpy.Event] = deque()  # requests for which no replica has room
        for _ in range(node.replicas):
            self.add()

    def add(self) -> None:
        """One more replica, ready at once."""
        self.replicas.append(Replica(self.env, self.node.batch))
        self.changes.append((self.env.now, len(self.replicas)))
        self.hand_over(self.replicas[-1])

    def remove(self, replica: Replica) -> None:
        """No further requests for this one; what it has begun it may end."""
        replica.routable = False
        self.replicas.remove(replica)
        self.calls += replica.calls
        self.changes.append((self.env.now, len(self.replicas)))

    def room(self) -> Steps:
        """The replica with the fewest requests that has room; None when there is none in time."""
        free = [each for each in self.replicas if each.routable and each.places_taken < self.node.max_ongoing]
        if free:
            return min(free, key=lambda each: each.places_taken)
        place = self.env.event()
        self._waiting.append(place)
        yield place | self.env.timeout(self.node.queue_timeout_s)
        if place.triggered:
            given: Any = place.value
            given.promised -= 1
            return given
        self._waiting.remove(place)
        return None

    def leave(self, replica: Replica, job: Job) -> None:
        """Its place is free."""
        job.abandoned = True
        replica.ongoing.remove(job)
        self.hand_over(replica)

    def hand_over(self, replica: Replica) -> None:
        """The free places of this replica to requests that wait."""
        free = self.node.max_ongoing - replica.places_taken if replica.routable else 0
        for _ in range(min(free, len(self._waiting))):
            replica.promised += 1
            self._waiting.popleft().succeed(replica)


Disturbance = Callable[[Cluster], Steps]  # runs beside the load: a fault, an autoscaler


def simulate(
    node: Node,
    times_s: Array,
    rng: np.random.Generator,
    *,
    answer_timeout_s: float = 3.0,
    disturbances: tuple[Disturbance, ...] = (),
) -> Run:
    """One stream of arrivals (N,), ascending, through the node."""
    cluster = Cluster(node)
    env = cluster.env
    proxy = simpy.Resource(env)
    loops_s = loop_times(node, times_s.shape, rng)
    latency_s = np.full(times_s.shape, np.nan)
    lost = {"refused": 0, "failed": 0}

    def request(number: int) -> Steps:
        with proxy.request() as turn:
            yield turn
            yield env.timeout(node.proxy_s)
        for _ in range(1 + RETRIES):
            replica = yield from cluster.room()
            if replica is None:
                lost["refused"] += 1
                return
            job = Job(loop_s=float(loops_s[number]), answered=env.event())
            replica.take(job)
            yield job.answered | env.timeout(answer_timeout_s)
            cluster.leave(replica, job)
            if job.answered.triggered and job.answered.value:
                latency_s[number] = env.now + node.delay_s - times_s[number]
                return
        lost["failed"] += 1

    def load() -> Steps:
        requests = []
        for number, time_s in enumerate(times_s):
            yield env.timeout(max(0.0, time_s - env.now))
            requests.append(env.process(request(number)))
        yield from requests

    for disturb in disturbances:
        env.process(disturb(cluster))
    env.run(env.process(load()))
    calls = cluster.calls + sum(replica.calls for replica in cluster.replicas)
    return Run(latency_s=latency_s, calls=calls, replicas=tuple(cluster.changes), **lost)
