import numpy as np
import pytest

from drillyard.core.errors import UsageError
from drillyard.core.slo import Load
from loadtests.arrivals import schedule


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
