"""The sequential tests: how often they cry wolf, and how fast they find one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drillyard.core.errors import UsageError
from serving.rollout import ALPHA, SECONDS_AT_LEAST, Limits, ShareTest, Trial
from serving.variants import Compared, Counts, Tally


def seconds_to_alarm(share: float, tolerated: float, per_second: int, seconds: int, seed: int) -> int | None:
    """After how many seconds a test alarms on independent requests of which that share is bad; None: not at all."""
    bad = np.random.default_rng(seed).binomial(per_second, share, size=seconds)
    test = ShareTest()
    for second, count in enumerate(bad.tolist(), start=1):
        if test.alarms(count, per_second, tolerated):
            return second
    return None


@pytest.mark.parametrize(("tolerated", "per_second"), [(0.01, 5), (0.01, 200), (0.1, 50)])
def test_what_is_tolerated_is_hardly_ever_an_alarm(tolerated: float, per_second: int) -> None:
    """At the very limit, for 200 s: several tests one after another, each with a probability of ALPHA at most."""
    runs = 500
    alarms = sum(seconds_to_alarm(tolerated, tolerated, per_second, 200, seed) is not None for seed in range(runs))
    requests = 200 * per_second
    drift = tolerated * np.log(2) + (1 - tolerated) * np.log((1 - 2 * tolerated) / (1 - tolerated))
    tests = max(1.0, requests * -drift / 4.6)  # expected number of tests that ended
    expected = runs * tests * ALPHA
    assert alarms <= expected + 4 * np.sqrt(expected) + 1


@pytest.mark.parametrize(("share", "within_s"), [(0.03, 120), (0.1, 15), (1.0, SECONDS_AT_LEAST)])
def test_twice_the_limit_and_more_is_found_in_time(share: float, within_s: int) -> None:
    """100 requests a second, of which 1% may be bad."""
    found = [seconds_to_alarm(share, 0.01, 100, 300, seed) for seed in range(100)]
    times = [second for second in found if second is not None]
    assert len(times) >= 99
    assert np.median(times) <= within_s
    assert min(times) >= SECONDS_AT_LEAST


@settings(max_examples=200, derandomize=True)
@given(st.integers(1, 100_000), st.floats(0.0001, 0.5), st.data())
def test_one_bad_second_is_never_enough(total: int, tolerated: float, data: st.DataObject) -> None:
    test = ShareTest()
    for _ in range(SECONDS_AT_LEAST - 1):
        assert not test.alarms(data.draw(st.integers(0, total)), total, tolerated)


def test_one_that_turns_bad_late_is_found_as_fast() -> None:
    test = ShareTest()
    for _ in range(1000):
        assert not test.alarms(0, 100, 0.01)
    after = next(second for second in range(1, 100) if test.alarms(20, 100, 0.01))
    assert after <= 2 * SECONDS_AT_LEAST


def second(bad: int, *, slow: int = 0, champion_slow: int = 0, disagreed: int = 0) -> Counts:
    return Counts(
        champion=Tally(answered=900, slow=champion_slow),
        challenger=Tally(answered=100, failed=bad, slow=slow),
        compared=Compared(agreed=100 - disagreed, disagreed=disagreed, max_difference=0.5),
    )


def reason_after(trial: Trial, counts: Counts, seconds: int = 60) -> str | None:
    return next((reason for _ in range(seconds) if (reason := trial.observe(counts)) is not None), None)


def test_each_limit_has_its_reason_with_numbers() -> None:
    assert reason_after(Trial(Limits(), shadow=False), second(0)) is None
    failed = reason_after(Trial(Limits(), shadow=False), second(10))
    assert failed is not None
    assert "requests failed (10.00%); the limit is 1.00%, the champion's share was 0.00%" in failed
    slow = reason_after(Trial(Limits(), shadow=False), second(0, slow=10))
    assert slow is not None
    assert "took longer than 50 ms (10.00%)" in slow
    for shadow in (False, True):
        disagreed = reason_after(Trial(Limits(), shadow=shadow), second(0, disagreed=40))
        assert disagreed is not None
        assert "decided otherwise than the champion (40.00%); the limit is 10.00%" in disagreed


def test_what_the_champion_does_too_is_not_the_challengers_fault() -> None:
    """A loaded machine makes everybody slow."""
    assert reason_after(Trial(Limits(), shadow=False), second(0, slow=30, champion_slow=300)) is None
    assert reason_after(Trial(Limits(), shadow=False), second(0, slow=30, champion_slow=9)) is not None


def test_a_shadow_that_cannot_compute_is_rolled_back_and_is_never_slow() -> None:
    failing = Counts(champion=Tally(answered=100), compared=Compared(agreed=90, failed=10))
    assert "requests failed" in str(reason_after(Trial(Limits(), shadow=True), failing))
    assert reason_after(Trial(Limits(), shadow=True), second(0, slow=100)) is None


@pytest.mark.parametrize("wrong", [{"failed": 0.0}, {"slow": 0.6}, {"disagreed": -0.1}, {"slow_s": 0.033}])
def test_limits_that_cannot_be_held_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Limits(**wrong)
