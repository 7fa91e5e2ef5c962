"""What an image classifier is worth: accuracy, macro F1 and the confusion matrix, with a linear baseline beside."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import f1_score

from drillyard.core.contract import Threshold
from pipelines import plots as draw
from pipelines.intervals import intervals
from pipelines.system import Dataset, Evaluation, Predict, TrainableModel

PRIMARY_METRIC = "accuracy"
BASELINE_ROWS, BASELINE_EPOCHS = 10_000, 5  # a reference point, not a contest: some seconds are enough

Array = np.ndarray[Any, Any]


def calibrate(model: TrainableModel, dataset: Dataset) -> Threshold | None:
    """The largest score decides; there is no threshold to choose."""
    del model, dataset
    return None


def primary(outputs: Mapping[str, Array], truth: Array) -> float:
    """Accuracy."""
    return float(np.mean(outputs["label"] == truth))


def metrics(outputs: Mapping[str, Array], truth: Array) -> dict[str, float]:
    """Accuracy, and F1 averaged over classes whatever their size."""
    return {
        "accuracy": primary(outputs, truth),
        "macro_f1": float(f1_score(truth, outputs["label"], average="macro")),
    }


def evaluate(predict: Predict, dataset: Dataset, plots: Path, seed: int) -> Evaluation:
    """Score the graph on the test slice."""
    test = dataset.test
    outputs = predict(test.inputs)
    return Evaluation(
        metrics=intervals(metrics, outputs, test.truth, seed),
        baselines={"linear": intervals(metrics, _linear(dataset, seed), test.truth, seed)},
        plots={"confusion_matrix": draw.confusion_matrix(outputs["label"], test.truth, dataset.labels, plots)},
    )


def _linear(dataset: Dataset, seed: int) -> dict[str, Array]:
    """A linear classifier on raw pixels: what the data set gives away without any convolution."""
    classifier = SGDClassifier(loss="log_loss", max_iter=BASELINE_EPOCHS, tol=None, random_state=seed)
    classifier.fit(_pixels(dataset.train.inputs["image"][:BASELINE_ROWS]), dataset.train.truth[:BASELINE_ROWS])
    return {"label": classifier.predict(_pixels(dataset.test.inputs["image"]))}


def _pixels(image: Array) -> Array:
    return image.reshape(len(image), -1).astype(np.float32) / 255
