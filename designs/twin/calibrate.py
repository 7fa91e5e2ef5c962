"""Measure a running server until the twin can stand in for it."""

import os
import time
from statistics import median

from designs.twin import meter
from designs.twin.fit import Server, fit
from designs.twin.observe import Observation, Observer
from designs.twin.types import Calibration
from drillyard.core import provenance
from drillyard.core.errors import InvalidMeasurement
from drillyard.core.load import ClosedLoad, Load
from serving.recipes import ServeConfig, laptop

SHARES = (0.06, 0.3, 0.5, 0.7, 0.85)  # of the capacity: where open loops are measured
_IDLE_S, _SATURATE_S, _MORE, _ANSWERED = 2.0, 4.0, 1.4, 0.95


def capacity_rps(observer: Observer, alone: Observation) -> float:
    """The most that was answered of rising rates, up to one that is not; for choosing rates only.

    Raises InvalidMeasurement when the generator cannot send even half of what one user's costs allow.
    """
    rate = 0.5 * len(observer.target.replicas()) * 1e6 / (alone.loop_us + alone.loop_wait_us)
    most = 0.0
    while True:
        try:
            answered = observer.observe(Load(rate_rps=round(rate, 1), duration_s=_SATURATE_S)).answered_rps
        except InvalidMeasurement:
            if not most:
                raise
            return most  # beyond what this generator can send beside the server
        most = max(most, answered)
        if answered < _ANSWERED * rate:
            return most
        rate *= _MORE


def one_user(observer: Observer, seconds: float) -> Observation:
    """A closed loop of one user: no request waits for another."""
    return observer.observe(ClosedLoad(users=1, duration_s=seconds))


def calibrate(observer: Observer, *, rounds: int, seconds: float) -> Calibration:
    """`rounds` passes over one user alone and the rates, each drill `seconds` long. Raises InvalidMeasurement."""
    measured: list[tuple[Observation, list[Observation]]] = []
    background = idle_cores(observer)
    capacity = capacity_rps(observer, one_user(observer, seconds))
    for number in range(rounds):
        lone = one_user(observer, seconds)
        loads = (
            Load(rate_rps=share * capacity, duration_s=seconds, seed=100 * (number + 1) + place)
            for place, share in enumerate(SHARES)
        )
        measured.append((lone, [observer.observe(load) for load in loads]))
    return assemble(observer, background, measured)


def idle_cores(observer: Observer) -> float:
    """Busy cores while nobody asks."""
    first = meter.read(observer.target)
    time.sleep(_IDLE_S)
    return (meter.read(observer.target).busy_s - first.busy_s) / _IDLE_S


def assemble(
    observer: Observer, background_cores: float, measured: list[tuple[Observation, list[Observation]]]
) -> Calibration:
    """The calibration that these rounds make."""
    config = laptop(observer.target.model)
    server = server_of(config, len(observer.target.replicas()))
    everything = [each for lone, others in measured for each in (lone, *others)]
    return Calibration(
        model=observer.version,
        replicas=server.replicas,
        cores=len(os.sched_getaffinity(0)),
        background_cores=background_cores,
        max_rows=server.max_rows,
        max_wait_s=server.max_wait_s,
        max_ongoing_requests=server.max_ongoing_requests,
        queue_timeout_s=server.queue_timeout_s,
        rounds=tuple(
            fit(server, lone, others, slowdowns)
            for (lone, others), slowdowns in zip(measured, _slowdowns(measured), strict=True)
        ),
        n=sum(each.requests for each in everything),
        **provenance.stamp(),
    )


def _slowdowns(measured: list[tuple[Observation, list[Observation]]]) -> list[list[float]]:
    """Of each round, for each of its drills: the generator's time for one request over the median of all rounds."""
    spent = [[each.generator_us for each in (lone, *others)] for lone, others in measured]
    usual = [median(drills) for drills in zip(*spent, strict=True)]
    return [[mine / each for mine, each in zip(drills, usual, strict=True)] for drills in spent]


def server_of(config: ServeConfig, replicas: int) -> Server:
    """`drillyard serve up` sets none of these but the replicas."""
    return Server(
        replicas=replicas,
        max_rows=config.batching.max_rows,
        max_wait_s=config.batching.max_wait_s,
        max_ongoing_requests=config.max_ongoing_requests,
        queue_timeout_s=config.queue_timeout_s,
    )
