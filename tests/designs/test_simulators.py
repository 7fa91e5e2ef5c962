"""The two simulators against closed forms and against each other."""

import time
from dataclasses import replace

import numpy as np
import pytest

from designs.twin import fast, reference, segments
from designs.twin.closed_forms import erlang_c, mg1_wait_s, mm1_latency_s, mmc_wait_s
from designs.twin.node import Array, Batch, Node, exponential, fixed, from_trace, pause_share

SERVICE_S = 0.001
PLAIN = Node(
    replicas=1,
    proxy_s=0.0,
    loop_s=SERVICE_S,
    loop_shape=exponential(),
    batch=None,
    delay_s=0.0,
    max_ongoing=1,  # all who wait do so in one queue at the proxy, as in M/M/c
    queue_timeout_s=1e9,
)
SERVED = replace(PLAIN, proxy_s=0.0001, loop_shape=fixed(), max_ongoing=12, queue_timeout_s=0.004, delay_s=0.0005)


def poisson(rate_rps: float, streams: int, requests: int, seed: int = 0) -> Array:
    """(streams, requests) arrival times."""
    return np.random.default_rng(seed).exponential(1 / rate_rps, (streams, requests)).cumsum(axis=1)


def test_erlang_c_against_a_table() -> None:
    """Known values: M/M/1 waits with probability rho; 2 servers at 1 erlang with 1/3."""
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert erlang_c(3, 3.0) == 1.0


@pytest.mark.parametrize("servers", [1, 2, 5])
def test_the_fast_simulation_is_mmc(servers: int) -> None:
    """Mean wait within 5% of Erlang's C at 70% utilisation, 800,000 requests."""
    rate = 0.7 * servers / SERVICE_S
    found = fast.simulate(replace(PLAIN, replicas=servers), poisson(rate, 400, 2500), np.random.default_rng(1))
    wait_s = found.latency_s[:, 500:].mean() - SERVICE_S
    assert wait_s == pytest.approx(mmc_wait_s(servers, rate, SERVICE_S), rel=0.05)


def test_the_fast_simulation_has_the_percentiles_of_mm1() -> None:
    """p50 and p99 within 5% at 70% utilisation."""
    found = fast.simulate(PLAIN, poisson(700, 400, 2500), np.random.default_rng(1)).latency_s[:, 500:]
    for percentile in (50, 99):
        expected = mm1_latency_s(700, SERVICE_S, percentile)
        assert np.percentile(found, percentile) == pytest.approx(expected, rel=0.05)


def test_the_fast_simulation_is_md1() -> None:
    """Mean wait within 3% of Pollaczek and Khinchine's at 80% utilisation."""
    found = fast.simulate(replace(PLAIN, loop_shape=fixed()), poisson(800, 400, 2500), np.random.default_rng(1))
    assert found.latency_s[:, 500:].mean() - SERVICE_S == pytest.approx(mg1_wait_s(800, SERVICE_S, 0), rel=0.03)


@pytest.mark.parametrize(("shape", "variance"), [("fixed", 0.0), ("exponential", SERVICE_S**2)])
def test_the_reference_is_the_closed_form(shape: str, variance: float) -> None:
    """Mean wait of M/D/1 and M/M/1 within 15% at 60% utilisation, 6,000 requests."""
    node = replace(PLAIN, loop_shape={"fixed": fixed(), "exponential": exponential()}[shape])
    found = reference.simulate(node, poisson(600, 1, 6_000, seed=2)[0], np.random.default_rng(1))
    assert found.latency_s.mean() - SERVICE_S == pytest.approx(mg1_wait_s(600, SERVICE_S, variance), rel=0.15)


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize(
    "batch",
    [
        None,
        Batch(call_s=0.0008, row_s=0.0002, max_rows=8, max_wait_s=0.0),
        Batch(call_s=0.0004, row_s=0.0005, max_rows=4, max_wait_s=0.003),
        Batch(call_s=0.001, row_s=0.0, max_rows=1, max_wait_s=0.0),
    ],
    ids=["quick", "batches", "waits for company", "one by one"],
)
@pytest.mark.parametrize("load", [0.5, 0.9, 1.6])
def test_both_simulations_agree_on_every_request(replicas: int, batch: Batch | None, load: float) -> None:
    """Without chance in the service both must answer, refuse and delay each request alike, also in overload."""
    node = replace(SERVED, replicas=replicas, batch=batch)
    times_s = poisson(load * replicas / SERVICE_S, 1, 300, seed=3)
    quick = fast.simulate(node, times_s, np.random.default_rng(0))
    slow = reference.simulate(node, times_s[0], np.random.default_rng(0))
    np.testing.assert_allclose(quick.latency_s[0], slow.latency_s, rtol=0, atol=1e-9)
    assert quick.calls == slow.calls
    if load > 1:
        assert slow.refused == np.isnan(quick.latency_s).sum() > 0


def test_both_simulations_agree_on_a_trace() -> None:
    """Percentiles within 10% with service times drawn from a trace by each."""
    shape = from_trace(((0, 0.5), (50, 0.9), (90, 1.4), (99, 4.0), (100, 9.0)), spread=1.0)
    node = replace(SERVED, loop_shape=shape, replicas=2, max_ongoing=64)
    quick = fast.simulate(node, poisson(1400, 200, 1000), np.random.default_rng(0)).latency_s[:, 200:]
    slow = reference.simulate(node, poisson(1400, 1, 8_000, seed=5)[0], np.random.default_rng(0)).latency_s
    for percentile in (50, 90, 99):
        assert np.percentile(slow, percentile) == pytest.approx(np.percentile(quick, percentile), rel=0.1)


def test_a_shape_keeps_its_mean_and_has_the_spread_that_is_asked_for() -> None:
    trace = ((0.0, 0.5), (50.0, 0.9), (90.0, 1.4), (99.0, 4.0), (100.0, 9.0))
    shapes = {spread: from_trace(trace, spread) for spread in (0.0, 0.5, 1.0)}
    assert all(shape.mean() == pytest.approx(1) and (np.diff(shape) >= 0).all() for shape in shapes.values())
    assert shapes[0.0].std() == 0
    assert np.interp(50, *np.array(trace).T) / np.interp(99, *np.array(trace).T) == pytest.approx(
        np.percentile(shapes[1.0], 50) / np.percentile(shapes[1.0], 99), rel=0.02
    )
    assert shapes[0.5].std() == pytest.approx(shapes[1.0].std() / 2, rel=0.02)


def test_a_paused_loop_is_an_mg1_queue() -> None:
    """Mean wait within 5% of Pollaczek and Khinchine's at 60% utilisation: 8 pauses a second of 12 ms are 10% of it."""
    rate, pause_s = 500.0, 0.012
    share = pause_share(rate)
    node = replace(PLAIN, loop_shape=fixed(), pause_share=share, pause_s=pause_s)
    found = fast.simulate(node, poisson(rate, 2000, 2500), np.random.default_rng(1)).latency_s[:, 500:]
    service_s = SERVICE_S + share * pause_s
    variance = share * 2 * pause_s**2 - (share * pause_s) ** 2
    assert rate * service_s == pytest.approx(0.596)
    assert found.mean() - service_s == pytest.approx(mg1_wait_s(rate, service_s, variance), rel=0.05)


def test_both_simulations_pause_alike() -> None:
    """Percentiles within 15%, each with pauses of its own."""
    node = replace(SERVED, max_ongoing=64, queue_timeout_s=1.0, pause_share=pause_share(600), pause_s=0.01)
    quick = fast.simulate(node, poisson(600, 200, 1000), np.random.default_rng(0)).latency_s[:, 200:]
    slow = reference.simulate(node, poisson(600, 1, 40_000, seed=5)[0], np.random.default_rng(0)).latency_s
    for percentile in (50, 90, 99):
        assert np.percentile(slow, percentile) == pytest.approx(np.percentile(quick, percentile), rel=0.15)


def test_overload_of_many_replicas_is_shed() -> None:
    """Twice what sixteen replicas can do: half is refused, once their places are full."""
    node = replace(PLAIN, replicas=16, max_ongoing=64, queue_timeout_s=0.02)
    found = segments.simulate(node, poisson(32_000, 1, 200_000)[0], np.random.default_rng(0))
    assert found.refused / found.requests == pytest.approx(0.5, abs=0.05)


def test_half_a_million_requests_take_a_twentieth_of_the_minute_that_ten_million_may() -> None:
    batch = Batch(call_s=0.0005, row_s=0.0001, max_rows=32, max_wait_s=0.0)
    node = replace(SERVED, loop_shape=exponential(), loop_s=0.0005, batch=batch, max_ongoing=64)
    times_s = poisson(1200, 1000, 500)
    began = time.process_time()
    found = fast.simulate(node, times_s, np.random.default_rng(0))
    assert time.process_time() - began < 60 / 20
    assert np.isfinite(found.latency_s).mean() > 0.99
