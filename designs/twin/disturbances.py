"""What happens to a simulated cluster while it is asked: a replica dies or freezes, the autoscaler acts."""

from collections import deque

import numpy as np

from designs.twin.reference import Cluster, Disturbance
from designs.twin.replica import Replica, Steps
from designs.twin.types import Outage, Scaling

MISSED_AFTER_S = 2.0  # two of HAProxy's health checks: then a frozen replica is sent nothing more


def outage(told: Outage) -> Disturbance:
    """The first replica dies and is replaced, or freezes and wakes."""

    def strike(cluster: Cluster) -> Steps:
        yield cluster.env.timeout(told.at_s)
        replica = cluster.replicas[0]
        if told.kind == "kill":
            cluster.remove(replica)
            replica.die()
            yield cluster.env.timeout(told.lasts_s)
            cluster.add()
            return
        replica.freeze()
        cluster.env.process(miss(cluster, replica))
        yield cluster.env.timeout(told.lasts_s)
        replica.thaw()
        replica.routable = True
        cluster.hand_over(replica)

    def miss(cluster: Cluster, replica: Replica) -> Steps:
        yield cluster.env.timeout(MISSED_AFTER_S)
        replica.routable = not replica.frozen

    return strike


def autoscaler(told: Scaling) -> Disturbance:
    """Ray Serve's rule: requests under way, averaged over the look-back, over the target; obeyed after the delays."""

    def scale(cluster: Cluster) -> Steps:
        env, least = cluster.env, cluster.node.replicas
        reports: deque[int] = deque(maxlen=max(1, round(told.look_back_s / told.push_s)))
        starting, steady_since_s, direction = 0, 0.0, 0

        def start(count: int) -> Steps:
            nonlocal starting
            yield env.timeout(told.start_s)
            starting -= count
            for _ in range(count):
                cluster.add()

        while True:
            yield env.timeout(told.push_s)
            reports.append(sum(len(replica.ongoing) for replica in cluster.replicas))
            needed = int(np.ceil(np.mean(reports) / told.target_ongoing_requests))
            change = min(max(needed, least), told.max_replicas) - len(cluster.replicas) - starting
            if np.sign(change) != direction:
                steady_since_s, direction = env.now, int(np.sign(change))
            waited_s = env.now - steady_since_s
            if change > 0 and waited_s >= told.upscale_delay_s:
                starting += change
                env.process(start(change))
            elif change < 0 and waited_s >= told.downscale_delay_s:
                for replica in cluster.replicas[change:]:
                    cluster.remove(replica)

    return scale
