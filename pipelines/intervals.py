"""95% bootstrap intervals of metrics, and of the difference of two models on the same rows."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from drillyard.core.contract import Interval

RESAMPLES = 200
Array = np.ndarray[Any, Any]
Metrics = Callable[[Mapping[str, Array], Array], dict[str, float]]  # (outputs, truth) -> values by name


def intervals(metrics: Metrics, outputs: Mapping[str, Array], truth: Array, seed: int = 0) -> dict[str, Interval]:
    """Each metric on all rows, with the 2.5% and 97.5% quantiles over resampled rows."""
    values = [metrics(_rows(outputs, chosen), truth[chosen]) for chosen in resamples(truth, seed)]
    return {
        name: _interval(value, [drawn[name] for drawn in values]) for name, value in metrics(outputs, truth).items()
    }


def difference(
    metric: Callable[[Mapping[str, Array], Array], float],
    a: Mapping[str, Array],
    b: Mapping[str, Array],
    truth: Array,
    seed: int = 0,
) -> Interval:
    """metric(a) - metric(b) with its interval; paired, since both are resampled on the same rows."""
    values = [
        metric(_rows(a, chosen), truth[chosen]) - metric(_rows(b, chosen), truth[chosen])
        for chosen in resamples(truth, seed)
    ]
    return _interval(metric(a, truth) - metric(b, truth), values)


def resamples(truth: Array, seed: int, count: int = RESAMPLES) -> Iterator[Array]:
    """Row indices (n,), drawn with replacement within each class, so that rare positives never vanish."""
    rng = np.random.default_rng(seed)
    classes = [np.flatnonzero(truth == value) for value in np.unique(truth)]
    for _ in range(count):
        yield np.concatenate([rng.choice(members, size=len(members)) for members in classes])


def _interval(value: float, drawn: list[float]) -> Interval:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(value), float(low), float(high)


def _rows(outputs: Mapping[str, Array], chosen: Array) -> dict[str, Array]:
    return {name: values[chosen] for name, values in outputs.items()}
