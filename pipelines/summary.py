"""What a model was trained on, in bins, for its card: deciles of each input feature, and of the model's own score."""

from typing import Any

import numpy as np

from drillyard.core import summary
from drillyard.core.contract import Bins, Summary, TensorSpec
from pipelines.system import Dataset, ModelSpec, Predict, Split

BINS = 10
MAX_ROWS = 20_000  # taken evenly from the slice: a share of 10% is then known to 0.2 points
_CHUNK_ROWS = 500  # images are worked on in pieces, since their statistics need eight bytes a pixel

Array = np.ndarray[Any, Any]


def summarise(spec: ModelSpec, dataset: Dataset, predict: Predict) -> Summary:
    """Inputs as the training slice has them, the score as the graph gives it on the validation slice."""
    inputs = tuple(
        bins(feature, column)
        for tensor in spec.inputs
        for feature, column in _features(tensor, dataset.labels, dataset.train).items()
    )
    output = summary.score(spec.outputs)
    if output is None:
        return Summary(inputs=inputs, score=None)
    answers = predict({name: _evenly(values) for name, values in dataset.validation.inputs.items()})
    return Summary(inputs=inputs, score=bins(output.name, summary.score_column(output, answers[output.name])))


def bins(feature: str, column: Array) -> Bins:
    """Deciles and the share of rows between them; a feature with few distinct values has fewer bins."""
    deciles = np.quantile(column.astype(np.float64), np.linspace(0, 1, BINS + 1)[1:-1], method="inverted_cdf")
    edges = np.unique(_short(deciles))
    edges = edges[edges < column.max()]  # no bin beyond the largest value: it would be empty
    counts = np.bincount(np.searchsorted(edges, column, side="left"), minlength=len(edges) + 1)
    shares = np.round(counts / len(column), 5)
    return Bins(feature=feature, edges=tuple(edges.tolist()), shares=tuple(shares.tolist()))


def _short(edges: Array) -> Array:
    """Six digits are enough; rounded up, so that a value that is itself an edge stays in the bin below it."""
    digits = 5 - np.floor(np.log10(np.maximum(np.abs(edges), 1e-300)))
    scale = 10.0 ** np.clip(digits, 0, 300)
    return np.array([float(f"{edge:.12g}") for edge in np.ceil(edges * scale) / scale])


def _features(tensor: TensorSpec, labels: tuple[str, ...], split: Split) -> dict[str, Array]:
    names = summary.features(tensor, labels)
    if not names:
        return {}
    rows = _evenly(split.inputs[tensor.name])
    pieces = [summary.columns(tensor, rows[i : i + _CHUNK_ROWS]) for i in range(0, len(rows), _CHUNK_ROWS)]
    return {name: np.concatenate(column) for name, column in zip(names, zip(*pieces, strict=True), strict=True)}


def _evenly(values: Array) -> Array:
    return values[:: -(-len(values) // MAX_ROWS)]
