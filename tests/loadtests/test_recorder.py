import numpy as np
import pytest

from loadtests.generator.recorder import DROPPED, TIMEOUT, WRONG, Recorder


def test_refusals_are_timed_apart_and_survive_a_merge() -> None:
    recorder, whole = Recorder(50.0), Recorder(50.0)
    for intended_s, done_s, error in ((0.0, 0.001, None), (0.0, 0.020, "503"), (0.0, 0.030, "429"), (0.0, 9.0, "500")):
        recorder.sent(intended_s, intended_s)
        recorder.outcome(intended_s, done_s, error)
    assert recorder.percentile_ms(100) < 2
    whole.merge(recorder.drain())
    assert whole.refusal_ms()["p50"] == pytest.approx(20, rel=0.01)
    assert whole.refusal_ms()["max"] == pytest.approx(30, rel=0.01)


def record(recorder: Recorder, latencies_s, start=0):
    for number, latency_s in enumerate(latencies_s, start):
        intended_s = number / 1000
        recorder.sent(intended_s, intended_s + 0.0001)
        recorder.outcome(intended_s, intended_s + latency_s, None)


@pytest.mark.parametrize("percentile", [50, 90, 99, 99.9])
def test_percentiles_are_exact_to_three_digits(percentile):
    latencies_s = np.random.default_rng(1).lognormal(-5, 1, 20_000)
    recorder = Recorder(bound_ms=20)
    record(recorder, latencies_s)
    truth_ms = np.sort(latencies_s)[round(percentile * 200) - 1] * 1000  # the nearest rank
    assert recorder.percentile_ms(percentile) == pytest.approx(truth_ms, rel=2e-3)
    assert recorder.percentile_ms(100) == pytest.approx(latencies_s.max() * 1000, rel=2e-3)


def test_the_fast_percentile_is_the_librarys():
    recorder = Recorder(bound_ms=20)
    record(recorder, np.random.default_rng(2).exponential(0.01, 5_000))
    for percentile in (0.5, 50, 95, 99, 99.99):
        library = recorder._latency.get_value_at_percentile(percentile) / 1000
        assert recorder.percentile_ms(percentile) == library


def test_merging_drained_parts_equals_recording_the_whole():
    latencies_s = np.random.default_rng(3).exponential(0.01, 4_000)
    whole, master = Recorder(bound_ms=20), Recorder(bound_ms=20)
    record(whole, latencies_s)
    for start, stop in ((0, 1_000), (1_000, 1_001), (1_001, 4_000)):  # as workers, or one worker's reports
        worker = Recorder(bound_ms=20)
        record(worker, latencies_s[start:stop], start)
        master.merge(worker.drain())
        assert worker.requests == 0
    assert master.measured(4_000) == whole.measured(4_000)
    assert master.series() == whole.series()
    assert master.curve() == whole.curve()
    assert master.send_lag_ms() == whole.send_lag_ms()


def test_errors_are_counted_by_kind_and_only_waits_enter_the_percentiles():
    recorder = Recorder(bound_ms=100)
    for number, error in enumerate([None, None, "503", WRONG, TIMEOUT]):
        recorder.sent(number, number)
        recorder.outcome(number, number + (10.0 if error == TIMEOUT else 0.05), error)
    recorder.dropped(5, 5)
    measured = recorder.measured(6)
    assert measured.error_counts == {"503": 1, WRONG: 1, TIMEOUT: 1, DROPPED: 1}
    assert (measured.requests, measured.ok, measured.good, measured.timed, measured.over_bound) == (6, 2, 2, 3, 1)
    assert recorder.percentile_ms(100) == pytest.approx(10_000, rel=1e-3)
    assert measured.error_rate == pytest.approx(4 / 6)


def test_a_send_is_late_from_five_milliseconds_on():
    recorder = Recorder(bound_ms=100)
    for lag_s in (0.0, 0.0049, 0.0051, 1.0):
        recorder.sent(1.0, 1.0 + lag_s)
    assert recorder.late_sends == 2


def test_series_count_events_when_they_happen_and_latency_by_the_intended_second():
    recorder = Recorder(bound_ms=100)
    recorder.sent(0.5, 0.5)
    recorder.outcome(0.5, 2.5, None)
    series = recorder.series()
    assert series["t_s"] == [0, 1, 2]
    assert series["sent"] == [1, 0, 0]
    assert series["ok"] == [0, 0, 1]
    assert series["slow"] == [0, 0, 1]
    assert series["p99_ms"] == [2000, 0, 0]


def test_the_curve_rises_to_the_maximum():
    recorder = Recorder(bound_ms=100)
    record(recorder, np.linspace(0.001, 0.1, 2_000))
    percentiles, latencies = zip(*recorder.curve(), strict=True)
    assert list(percentiles) == sorted(percentiles)
    assert list(latencies) == sorted(latencies)
    assert percentiles[-1] == 100
    assert latencies[-1] == pytest.approx(100, rel=1e-2)
    assert Recorder(bound_ms=1).curve() == []
