"""Calibrating on a simulated server whose parameters are known, and predicting it at rates that were held back."""

import numpy as np
import pytest

from designs.twin import BatchTime, Calibration, Point, Scenario, predict, segments, stations
from designs.twin.fit import Server, batch_time, fit, trace_of
from designs.twin.node import Batch, Node, from_trace, pause_share
from designs.twin.observe import Observation
from drillyard.core.load import ClosedLoad, Load
from drillyard.core.slo import Slo
from loadtests.generator.arrivals import schedule

SERVER = Server(replicas=1, max_rows=32, max_wait_s=0.0, max_ongoing_requests=64, queue_timeout_s=0.02)
CURVE = [(0.0, 1.0), (50.0, 1.3), (90.0, 1.8), (99.0, 4.0), (100.0, 7.0)]  # of one user, ms
TRUE_DELAY_MS, TRUE_SPREAD, TRUE_PAUSE_MS, LOOP_US, WAIT_US = 0.4, 1.0, 6.0, 500.0, 60.0
CALLS = BatchTime(call_us=300, row_us=200)
SLO = Slo(p50_ms=50, p99_ms=100, max_error_rate=0.01)


def seen(load: Load | ClosedLoad, *, batched: bool, slowdown: float = 1.0) -> Observation:
    """What a drill of the simulated server measures; `slowdown` makes all its times so much longer."""
    rows, p50_ms, p99_ms, requests, rate = 1.0, 1.3, 4.0, 1000, 500.0
    if isinstance(load, Load):
        node = Node(
            replicas=1,
            proxy_s=100e-6 * slowdown,
            loop_s=(LOOP_US + WAIT_US) * 1e-6 * slowdown,
            loop_shape=from_trace(trace_of(seen(ClosedLoad(users=1, duration_s=8), batched=batched)), TRUE_SPREAD),
            pause_share=pause_share(load.rate_rps),
            pause_s=TRUE_PAUSE_MS * slowdown / 1000,
            batch=Batch(call_s=300e-6 * slowdown, row_s=200e-6 * slowdown, max_rows=32, max_wait_s=0.0)
            if batched
            else None,
            delay_s=TRUE_DELAY_MS * slowdown / 1000,
            max_ongoing=64,
            queue_timeout_s=0.02,
        )
        found = segments.simulate(node, schedule(load), np.random.default_rng(7), 640_000)
        p50_ms, p99_ms = (float(v) for v in np.percentile(found.latency_s, [50, 99]) * 1000)
        requests, rate = round(load.rate_rps * load.duration_s), load.rate_rps
        rows = 1 / found.calls if batched else 1.0
    return Observation(
        load=load,
        requests=requests,
        answered_rps=rate,
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        shed_share=0.0,
        busy_cores=0.1 + rate * 0.0008 * slowdown,
        proxy_us=80 * slowdown,
        proxy_wait_us=20 * slowdown,
        loop_us=LOOP_US * slowdown,
        loop_wait_us=WAIT_US * slowdown,
        generator_us=200 * slowdown,
        call_us=(CALLS.call_us + CALLS.row_us * rows if batched else 20) * slowdown,
        call_rows=rows,
        curve=CURVE,
    )


def calibrated(batched: bool, slowdowns: tuple[float, ...] = (1.0, 1.0)) -> Calibration:
    rates = (300.0, 1200.0)
    lone = seen(ClosedLoad(users=1, duration_s=8), batched=batched)
    others = [
        seen(Load(rate_rps=rate / s, duration_s=4, seed=i), batched=batched, slowdown=s)
        for i, (rate, s) in enumerate(zip(rates, slowdowns, strict=True))
    ]
    return Calibration(
        model="simulated/1",
        replicas=1,
        cores=2,
        background_cores=0.1,
        max_rows=32,
        max_wait_s=0,
        max_ongoing_requests=64,
        queue_timeout_s=0.02,
        rounds=(fit(SERVER, lone, others, (1.0, *slowdowns)),),
        commit="none",
        machine="simulated",
        at="2026-01-01",
        n=5000,
    )


def near(point: Point) -> bool:
    return abs(point.delay_ms - TRUE_DELAY_MS) < 0.1 and abs(point.pause_ms - TRUE_PAUSE_MS) < 1


@pytest.mark.parametrize("batched", [False, True], ids=["quick model", "batches"])
def test_held_back_loads_are_predicted_within_the_bar(batched: bool) -> None:
    """Within 5% and 10% between the calibrated rates (the bar on the real server is 15%)."""
    calibration = calibrated(batched)
    assert [near(point) for point in calibration.rounds[0].points].count(True) >= 1
    load = Load(rate_rps=700.0, duration_s=4, seed=50)
    measured = seen(load, batched=batched)
    found = predict(calibration, Scenario(load=load, slo=SLO))
    assert found.p50_ms.value == pytest.approx(measured.p50_ms, rel=0.05)
    assert found.p99_ms.value == pytest.approx(measured.p99_ms, rel=0.1)


def test_a_machine_whose_speed_changes_while_it_is_calibrated_does_not_fool_it() -> None:
    """Every drill at another speed, and the prediction is for a third one."""
    calibration = calibrated(False, slowdowns=(1.6, 0.8))
    load = Load(rate_rps=500.0, duration_s=4, seed=50)
    measured = seen(load, batched=False, slowdown=1.4)
    assert stations.slowdown(calibration, load.rate_rps, measured.generator_us) == pytest.approx(1.4)
    found = predict(calibration, Scenario(load=load, slo=SLO, slowdown=1.4))
    assert found.p50_ms.value == pytest.approx(measured.p50_ms, rel=0.05)
    assert found.p99_ms.value == pytest.approx(measured.p99_ms, rel=0.1)


def test_the_line_of_calls_is_the_one_that_was_measured() -> None:
    lone = seen(ClosedLoad(users=1, duration_s=8), batched=True)
    sizes = (1.0, 1.5, 4.0, 9.0)
    many = [lone.model_copy(update={"call_rows": rows, "call_us": 300 + 200 * rows}) for rows in sizes]
    assert batch_time(many, [1.0] * 4).call_us == pytest.approx(300)
    assert batch_time(many, [1.0] * 4).row_us == pytest.approx(200)
    assert batch_time(many, [2.0] * 4).call_us == pytest.approx(150)
    alike = [lone.model_copy(update={"call_rows": 1.0, "call_us": call_us}) for call_us in (490, 510)]
    found = batch_time(alike, [1.0] * 2)
    assert (found.call_us, found.row_us) == (500, 0)
