"""Plots of evaluations, written as PNG files; each function returns its file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
from sklearn.metrics import precision_recall_curve

Array = np.ndarray[Any, Any]


def confusion_matrix(predicted: Array, truth: Array, labels: tuple[str, ...], folder: Path) -> Path:
    """Rows are true classes, columns predicted ones; each row in percent."""
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, (truth, predicted), 1)
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = matplotlib.figure.Figure(figsize=(7, 6.2), layout="constrained")
    axes = figure.subplots()
    axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    ticks = range(len(labels))
    axes.set_xticks(ticks, labels, rotation=45, ha="right")
    axes.set_yticks(ticks, labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title("Confusion matrix on the test slice, percent of each true class")
    for row, column in np.ndindex(percent.shape):
        if percent[row, column] >= 0.5:
            colour = "white" if percent[row, column] > 50 else "black"
            axes.text(column, row, f"{percent[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=8)
    return _save(figure, folder / "confusion_matrix.png")


def precision_recall(scores: Mapping[str, Array], truth: Array, threshold: float | None, folder: Path) -> Path:
    """One curve a scorer; the first is the model's own, with its operating point."""
    figure = matplotlib.figure.Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for index, (name, score) in enumerate(scores.items()):
        precision, recall, _ = precision_recall_curve(truth, score)
        axes.plot(recall, precision, label=name, linewidth=2.2 if index == 0 else 1.2)
    own = next(iter(scores.values()))
    if threshold is not None:
        flagged = own > threshold
        caught = np.sum(flagged & truth)
        axes.plot(caught / truth.sum(), caught / max(flagged.sum(), 1), "o", color="black", label="threshold")
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_title("Precision against recall on the test slice")
    axes.legend()
    axes.grid(alpha=0.3)
    return _save(figure, folder / "precision_recall.png")


def score_histogram(score: Array, truth: Array, threshold: float, folder: Path) -> Path:
    """Scores of legitimate and fraudulent rows on a log axis, each normalised to its own count."""
    figure = matplotlib.figure.Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    bins = np.geomspace(max(float(score.min()), 1e-6), float(score.max()), 60).tolist()
    for name, chosen in (("legitimate", ~truth), ("fraud", truth)):
        weights = np.full(int(chosen.sum()), 100 / max(int(chosen.sum()), 1))
        axes.hist(score[chosen], bins=bins, weights=weights, alpha=0.6, label=name)
    axes.axvline(threshold, color="black", linestyle="--", label="threshold")
    axes.set_xscale("log")
    axes.set_xlabel("score")
    axes.set_ylabel("percent of the class")
    axes.set_title("Scores on the test slice")
    axes.legend()
    return _save(figure, folder / "score_histogram.png")


def _save(figure: matplotlib.figure.Figure, path: Path) -> Path:
    figure.savefig(path, dpi=110)
    return path
