import numpy as np
import pytest

from drillyard.core.errors import UsageError
from drillyard.core.load import Bursts, Diurnal, Load, Poisson, Ramp, Replay, Spike, Steps, parse_shape
from loadtests.generator.arrivals import schedule


def load(seed: int = 0, rate_rps: float = 500, duration_s: float = 40) -> Load:
    return Load(rate_rps=rate_rps, duration_s=duration_s, seed=seed)


def test_the_same_seed_gives_the_same_arrivals_and_another_seed_others():
    np.testing.assert_array_equal(schedule(load(3)), schedule(load(3)))
    assert schedule(load(3))[0] != schedule(load(4))[0]


def test_gaps_are_exponential_with_the_rate_as_mean():
    times = schedule(load())
    gaps = np.diff(times)
    assert len(times) == pytest.approx(20_000, abs=4 * np.sqrt(20_000))  # a Poisson count
    assert gaps.mean() == pytest.approx(1 / 500, rel=0.03)
    # Kolmogorov-Smirnov distance from the exponential law, against its critical value at 0.1%
    ordered = np.sort(gaps)
    law = 1 - np.exp(-ordered * 500)
    distance = np.abs(law - np.arange(1, len(law) + 1) / len(law)).max()
    assert distance < 1.95 / np.sqrt(len(gaps))


def test_times_ascend_within_the_duration():
    times = schedule(load(duration_s=2.5))
    assert (np.diff(times) >= 0).all()
    assert times[0] >= 0
    assert times[-1] < 2.5


@pytest.mark.parametrize("change", [{"rate_rps": 0}, {"rate_rps": float("inf")}, {"duration_s": -1}])
def test_a_load_without_arrivals_is_refused(change):
    with pytest.raises(UsageError, match="expected a positive number"):
        schedule(load(**change))


SHAPES = {
    Poisson(): [1.0, 1.0, 1.0, 1.0],
    Diurnal(night=0.2, day_s=40): [0.345, 0.855, 0.855, 0.345],  # quarters of one day, integrated by hand
    Ramp(start=0, end=2): [0.25, 0.75, 1.25, 1.75],
    Spike(factor=10, at_s=10, lasts_s=10): [1.0, 10.0, 1.0, 1.0],
    Steps(factors=(1, 2, 4, 8)): [1.0, 2.0, 4.0, 8.0],
}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.kind)
def test_each_quarter_of_a_drill_has_its_share_of_the_base_rate(shape):
    times = schedule(Load(rate_rps=500, duration_s=40, seed=1, shape=shape))
    counts = np.histogram(times, bins=4, range=(0, 40))[0]
    expected = np.array(SHAPES[shape]) * 5000
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()
    assert (np.diff(times) >= 0).all()


def test_bursts_come_and_go_with_their_rate_and_share_of_the_time():
    shape = Bursts(factor=20, calm_s=3, burst_s=1)
    times = schedule(Load(rate_rps=100, duration_s=4000, seed=2, shape=shape))
    assert len(times) / 4000 == pytest.approx(100 * (0.75 + 0.25 * 20), rel=0.1)
    counts = np.bincount(times.astype(int))
    assert counts.var() > 20 * counts.mean()  # far from a Poisson count, whose variance is its mean


def test_a_replay_keeps_the_trace_s_rhythm_at_the_asked_rate(tmp_path):
    trace = tmp_path / "trace.txt"
    trace.write_text("100\n100.5\n103\n104\n")
    load = Load(rate_rps=1.5, duration_s=10, shape=Replay(path=str(trace)))
    np.testing.assert_allclose(schedule(load), np.array([0, 0.5, 3, 4]) / 2)


def test_a_thinned_replay_takes_each_nth_arrival(tmp_path):
    trace = tmp_path / "trace.txt"
    trace.write_text("0\n1\n2\n3\n8\n")
    load = Load(rate_rps=1, duration_s=10, shape=Replay(path=str(trace), every=2))
    np.testing.assert_allclose(schedule(load), np.array([0, 2, 8]) / 4)


@pytest.mark.parametrize("text", ["", "one\n", "1\n", "1\n1\n", "1\nnan\n"])
def test_a_trace_that_is_none_is_refused(tmp_path, text):
    trace = tmp_path / "trace.txt"
    trace.write_text(text)
    with pytest.raises(UsageError, match="time"):
        schedule(Load(rate_rps=1, duration_s=1, shape=Replay(path=str(trace))))


def test_a_shape_is_named_or_given_with_its_figures():
    assert parse_shape("spike") == Spike()
    assert parse_shape('{"kind": "spike", "factor": 5}') == Spike(factor=5)


@pytest.mark.parametrize("text", ["", "spikes", '{"kind": "spike", "factr": 5}', '{"kind": "spike"', "replay"])
def test_a_shape_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="shape="):
        parse_shape(text)
