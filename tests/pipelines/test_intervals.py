"""Bootstrap intervals: repeatable, stratified, and paired where they compare."""

import numpy as np

from pipelines.intervals import difference, intervals, resamples


def accuracy(outputs: dict, truth: np.ndarray) -> float:
    return float(np.mean(outputs["label"] == truth))


def test_every_resample_keeps_each_class_size() -> None:
    truth = np.array([True] * 3 + [False] * 97)
    assert all(truth[rows].sum() == 3 for rows in resamples(truth, seed=0, count=20))


def test_interval_holds_the_value_and_repeats_with_the_seed() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 500)
    outputs = {"label": np.where(rng.random(500) < 0.8, truth, 1 - truth)}
    first = intervals(lambda o, t: {"accuracy": accuracy(o, t)}, outputs, truth, seed=1)
    value, low, high = first["accuracy"]
    assert low < value < high
    assert 0.02 < high - low < 0.12  # 1.96 * 2 * sqrt(.8 * .2 / 500) = 0.07
    assert first == intervals(lambda o, t: {"accuracy": accuracy(o, t)}, outputs, truth, seed=1)


def test_difference_is_paired() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 2000)
    a = np.where(rng.random(2000) < 0.8, truth, 1 - truth)
    b = a.copy()
    b[:40] = 1 - truth[:40]  # b differs from a on few rows only
    value, low, high = difference(accuracy, {"label": a}, {"label": b}, truth)
    unpaired = 1.96 * 2 * np.sqrt(2 * 0.8 * 0.2 / 2000)
    assert 0 < low <= value <= high
    assert high - low < unpaired / 2
