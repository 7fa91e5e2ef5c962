"""What a calibration says of a scenario: the service times of its stations, and how busy they are.

A busy process pays less for each request than one that sleeps in between, but its time on a core in each second grows
nearly in a straight line with the rate; so that time is interpolated over the rate of a replica. Waits for a core are
interpolated over the number of cores that are busy. Beyond the measured rates costs stay as they are at the last one,
and when more cores are asked for than there are, everything takes so much longer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from designs.twin.node import Batch, Node, from_trace, pause_share
from designs.twin.types import Calibration, Point, Round, Scenario


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A scenario's node at one rate."""

    node: Node
    busy_cores: float
    extrapolated: bool


def setting(calibration: Calibration, measured: Round, scenario: Scenario, rate_rps: float) -> Setting:
    """For `rate_rps` requests a second in total. A machine that is slower now works as at a higher rate, and longer."""
    each_rps = rate_rps * scenario.slowdown / scenario.replicas
    points = measured.points

    def cost_us(field: str) -> float:
        return _cost(points, [getattr(p, field) for p in points], each_rps)

    busy = _busy_cores(calibration, points, scenario, each_rps)

    def waiting(field: str) -> float:
        pairs = sorted((p.busy_cores, getattr(p, field)) for p in points)
        return float(np.interp(busy, [cores for cores, _ in pairs], [share for _, share in pairs]))

    delay_ms = float(np.interp(each_rps, [p.rate_rps for p in points], [p.delay_ms for p in points]))
    spread = float(np.interp(each_rps, [p.rate_rps for p in points], [p.spread for p in points]))
    stretch = max(1.0, busy / calibration.cores) * scenario.slowdown
    loop_s = cost_us("loop_us") * (1 + waiting("loop_wait")) * stretch / 1e6
    if busy > calibration.cores:  # more replicas do not make more cores: the loops are as overloaded as these
        loop_s = max(loop_s, busy / calibration.cores * scenario.replicas / rate_rps)
    return Setting(
        node=Node(
            replicas=scenario.replicas,
            proxy_s=cost_us("proxy_us") * (1 + waiting("proxy_wait")) * stretch / 1e6,
            loop_s=loop_s,
            loop_shape=from_trace(measured.trace, spread),
            pause_share=pause_share(rate_rps / scenario.replicas),
            pause_s=_pause_ms(points, each_rps) * scenario.slowdown / 1000,
            batch=_batch(calibration, measured, scenario, stretch),
            delay_s=delay_ms * scenario.slowdown / 1000,
            max_ongoing=scenario.max_ongoing_requests or calibration.max_ongoing_requests,
            queue_timeout_s=scenario.queue_timeout_s or calibration.queue_timeout_s,
        ),
        busy_cores=min(busy, calibration.cores),
        extrapolated=each_rps > points[-1].rate_rps * 1.01,
    )


def slowdown(calibration: Calibration, rate_rps: float, generator_us: float) -> float:
    """How much slower than usual the machine is: the load generator's time for one request against the calibration's.

    The generator does the same for each request whatever the server is, so this says nothing of the server.
    """
    each_rps = rate_rps / calibration.replicas
    usual_us = [_cost(r.points, [point.generator_us for point in r.points], each_rps) for r in calibration.rounds]
    return generator_us / median(usual_us)


def _busy_cores(calibration: Calibration, points: tuple[Point, ...], scenario: Scenario, each_rps: float) -> float:
    """Of the machine, for this rate of each replica: the background, and what each request costs in all processes."""
    requests = [(p.busy_cores - calibration.background_cores) / (p.rate_rps * calibration.replicas) for p in points]
    cost_s = _cost(points, requests, each_rps)
    if not scenario.generator_on_node:
        cost_s -= _cost(points, [p.generator_us for p in points], each_rps) / 1e6
    return calibration.background_cores + max(cost_s, 0.0) * each_rps * scenario.replicas


def _cost(points: tuple[Point, ...], costs: Sequence[float], each_rps: float) -> float:
    """Of one request at this rate of a replica, from its cost at each point."""
    rates = np.array([point.rate_rps for point in points])
    rate = float(np.clip(each_rps, rates[0], rates[-1]))
    return float(np.interp(rate, rates, rates * np.array(costs))) / rate


def _pause_ms(points: tuple[Point, ...], each_rps: float) -> float:
    """It grows by orders of magnitude towards saturation, so its logarithm is interpolated."""
    return float(np.expm1(np.interp(each_rps, [p.rate_rps for p in points], np.log1p([p.pause_ms for p in points]))))


def _batch(calibration: Calibration, measured: Round, scenario: Scenario, stretch: float) -> Batch | None:
    if measured.batch is None:
        return None
    return Batch(
        call_s=measured.batch.call_us * stretch / 1e6,
        row_s=measured.batch.row_us * stretch / 1e6,
        max_rows=scenario.max_rows or calibration.max_rows,
        max_wait_s=calibration.max_wait_s if scenario.max_wait_s is None else scenario.max_wait_s,
    )
