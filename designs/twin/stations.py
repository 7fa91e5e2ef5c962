"""What a calibration says of a scenario: the service times of its stations, and how busy they are.

Costs are interpolated over the rate of a replica (a busy process pays less for each request than one that sleeps in
between), waits for a core over the number of cores that are busy. Beyond the measured rates costs stay as they are at
the last one, and when more cores are asked for than there are, everything takes so much longer.
"""

from dataclasses import dataclass

import numpy as np

from designs.twin.node import Batch, Node, from_trace
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

    def at_rate(field: str) -> float:
        return float(np.interp(each_rps, [p.rate_rps for p in points], [getattr(p, field) for p in points]))

    busy = _busy_cores(calibration, points, scenario, each_rps)

    def waiting(field: str) -> float:
        pairs = sorted((p.busy_cores, getattr(p, field)) for p in points)
        return float(np.interp(busy, [cores for cores, _ in pairs], [share for _, share in pairs]))

    stretch = max(1.0, busy / calibration.cores) * scenario.slowdown
    return Setting(
        node=Node(
            replicas=scenario.replicas,
            proxy_s=at_rate("proxy_us") * (1 + waiting("proxy_wait")) * stretch / 1e6,
            loop_s=at_rate("loop_us") * (1 + waiting("loop_wait")) * stretch / 1e6,
            loop_shape=from_trace(measured.trace, at_rate("spread")),
            batch=_batch(calibration, measured, scenario, stretch),
            delay_s=at_rate("delay_ms") * scenario.slowdown / 1000,
            max_ongoing=scenario.max_ongoing_requests or calibration.max_ongoing_requests,
            queue_timeout_s=scenario.queue_timeout_s or calibration.queue_timeout_s,
        ),
        busy_cores=min(busy, calibration.cores),
        extrapolated=each_rps > points[-1].rate_rps * 1.01,
    )


def _busy_cores(calibration: Calibration, points: tuple[Point, ...], scenario: Scenario, each_rps: float) -> float:
    """Of the machine, for this rate of each replica: the background, and what each request costs in all processes."""
    rates = [point.rate_rps for point in points]
    requests = [(p.busy_cores - calibration.background_cores) / (p.rate_rps * calibration.replicas) for p in points]
    cost_s = float(np.interp(each_rps, rates, requests))
    if not scenario.generator_on_node:
        cost_s -= float(np.interp(each_rps, rates, [p.generator_us for p in points])) / 1e6
    return calibration.background_cores + max(cost_s, 0.0) * each_rps * scenario.replicas


def _batch(calibration: Calibration, measured: Round, scenario: Scenario, stretch: float) -> Batch | None:
    if measured.batch is None:
        return None
    return Batch(
        call_s=measured.batch.call_us * stretch / 1e6,
        row_s=measured.batch.row_us * stretch / 1e6,
        max_rows=scenario.max_rows or calibration.max_rows,
        max_wait_s=calibration.max_wait_s if scenario.max_wait_s is None else scenario.max_wait_s,
    )
