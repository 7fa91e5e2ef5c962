"""Observations -> a round of a calibration: costs as they were measured, and the figures that are fitted.

At each rate the simulation is given the measured costs and the drill's own arrivals. `spread`, and where all of it is
not enough `pause_ms`, is then chosen so that the distance from p50 to p99 is the measured one, and `delay_ms` so that
the p50 is. Where the costs alone make the p50 too long, a part of the waits for a core cannot have held the queue up,
and is left out.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from designs.twin import segments
from designs.twin.node import Array, Batch, Node, from_trace, pause_share
from designs.twin.observe import Observation
from designs.twin.types import BatchTime, Point, Round
from drillyard.core.load import Load
from loadtests.generator.arrivals import schedule
from serving.recipes import Batching

Trace = tuple[tuple[float, float], ...]
_REQUESTS, _CLOSE = 160_000, 0.03
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 1e-4, 0.2


@dataclass(frozen=True, kw_only=True)
class Server:
    """What is known of the calibrated server before it is measured."""

    replicas: int
    max_rows: int
    max_wait_s: float
    max_ongoing_requests: int
    queue_timeout_s: float


def fit(server: Server, alone: Observation, observations: list[Observation], slowdowns: Sequence[float]) -> Round:
    """`alone` is a closed loop of one user, whose latencies are the trace; `observations` are open loops.

    `slowdowns` says of each, `alone` first, how much slower than usual the machine was. The round is in usual time.
    """
    trace = trace_of(alone)
    everything = [alone, *observations]
    batch = batch_time(everything, slowdowns) if is_offloaded(everything) else None
    drills = zip(observations, slowdowns[1:], strict=True)
    points = [_point(server, trace, batch, each, slowdown) for each, slowdown in drills]
    return Round(points=tuple(sorted(points, key=lambda point: point.rate_rps)), batch=batch, trace=trace)


def trace_of(alone: Observation) -> Trace:
    """(percentile, latency over the mean latency), ascending."""
    percentiles, latencies_ms = np.array(alone.curve).T
    mean_ms = np.interp(np.linspace(0, 100, 4097), percentiles, latencies_ms).mean()
    return tuple((float(p), float(latency / mean_ms)) for p, latency in zip(percentiles, latencies_ms, strict=True))


def is_offloaded(observations: list[Observation]) -> bool:
    """Whether the model runs in a thread, off the event loop (serving/runner.py); a disturbance makes calls longer."""
    return min(each.call_us for each in observations) > Batching().offload_s * 1e6


def batch_time(observations: list[Observation], slowdowns: Sequence[float]) -> BatchTime:
    """The line through the mean times of calls of different mean sizes; neither part is negative."""
    rows = np.array([each.call_rows for each in observations])
    call_us = np.array([each.call_us for each in observations]) / np.array(slowdowns)
    slope = np.polyfit(rows, call_us, 1)[0] if np.ptp(rows) > 0.2 else 0.0  # else there is no telling
    row_us = float(np.clip(slope, 0.0, (call_us / rows).min()))
    return BatchTime(call_us=float(np.mean(call_us - row_us * rows)), row_us=row_us)


def _point(server: Server, trace: Trace, batch: BatchTime | None, seen: Observation, slowdown: float) -> Point:
    assert isinstance(seen.load, Load)
    times_s = schedule(seen.load)
    node = _node(server, batch, seen, slowdown)
    fitted, spread, held = _fitted(node, trace, times_s, seen)
    p50_ms, _ = _percentiles(fitted, times_s)
    return Point(
        rate_rps=seen.answered_rps / server.replicas * slowdown,
        busy_cores=seen.busy_cores,
        proxy_us=seen.proxy_us / slowdown,
        proxy_wait=seen.proxy_wait_us / seen.proxy_us,
        loop_us=seen.loop_us / slowdown,
        loop_wait=held * seen.loop_wait_us / seen.loop_us,
        generator_us=seen.generator_us / slowdown,
        delay_ms=max(0.0, seen.p50_ms - p50_ms) / slowdown,
        spread=spread,
        pause_ms=fitted.pause_s * 1000 / slowdown,
        p50_ms=seen.p50_ms,
        p99_ms=seen.p99_ms,
        requests=seen.requests,
    )


def _node(server: Server, batch: BatchTime | None, seen: Observation, slowdown: float) -> Node:
    """The calibrated server at this rate, without delay, spread and pauses. In the time of the observation."""
    assert isinstance(seen.load, Load)
    return Node(
        replicas=server.replicas,
        proxy_s=(seen.proxy_us + seen.proxy_wait_us) / 1e6,
        loop_s=(seen.loop_us + seen.loop_wait_us) / 1e6,
        loop_shape=np.ones(1),
        pause_share=pause_share(seen.load.rate_rps / server.replicas),
        batch=None
        if batch is None
        else Batch(
            call_s=batch.call_us * slowdown / 1e6,
            row_s=batch.row_us * slowdown / 1e6,
            max_rows=server.max_rows,
            max_wait_s=server.max_wait_s,
        ),
        delay_s=0.0,
        max_ongoing=server.max_ongoing_requests,
        queue_timeout_s=server.queue_timeout_s,
    )


def _fitted(node: Node, trace: Trace, times_s: Array, seen: Observation) -> tuple[Node, float, float]:
    """The node with its spread and pauses, that spread, and the share of the loop's waits that holds up its queue."""
    distance_ms = seen.p99_ms - seen.p50_ms
    spread, found = 0.0, node
    for held in (1.0, 0.5, 0.0):
        loop_s = (seen.loop_us + held * seen.loop_wait_us) / 1e6
        spread, found = _widened(replace(node, loop_s=loop_s), trace, times_s, distance_ms)
        p50_ms, _ = _percentiles(found, times_s)
        if p50_ms <= seen.p50_ms:
            break
    return found, spread, held


def _widened(node: Node, trace: Trace, times_s: Array, distance_ms: float) -> tuple[float, Node]:
    """As much of the trace's spread as sets p50 and p99 so far apart; where all of it does not, pauses as well."""

    def spread(share: float) -> Node:
        return replace(node, loop_shape=from_trace(trace, share))

    def paused(pause_s: float) -> Node:
        return replace(spread(1.0), pause_s=pause_s)

    def too_narrow(candidate: Node) -> bool:
        p50_ms, p99_ms = _percentiles(candidate, times_s)
        return p99_ms - p50_ms < distance_ms

    if too_narrow(spread(1.0)):
        return 1.0, paused(_least(lambda pause_s: not too_narrow(paused(pause_s)), _SHORTEST_PAUSE_S, _LONGEST_PAUSE_S))
    share = _least(lambda share: not too_narrow(spread(share)), _CLOSE, 1.0) if too_narrow(spread(0.0)) else 0.0
    return share, spread(share)


def _least(enough: Callable[[float], bool], low: float, high: float) -> float:
    """The least value that is enough, within 3% of itself; `high` when none is."""
    while high - low > _CLOSE * high:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _percentiles(node: Node, times_s: Array) -> tuple[float, float]:
    """p50 and p99 in ms; the same service times at every call, so that only the node's figures make a difference."""
    found = segments.simulate(node, times_s, np.random.default_rng(0), _REQUESTS).latency_s
    p50_s, p99_s = np.percentile(found, [50, 99])
    return float(p50_s) * 1000, float(p99_s) * 1000
