"""What a fraud score is worth: ranking, decisions and money, beside baselines fitted on the same split."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from drillyard.core.contract import Quality, Threshold
from pipelines import plots as draw
from pipelines.fraud import baselines
from pipelines.fraud.cost import REVIEW_FEE, cheapest_threshold, saved
from pipelines.fraud.data import AMOUNT, FEATURES
from pipelines.fraud.model import FraudScorer, scores
from pipelines.intervals import intervals
from pipelines.ranking import areas
from pipelines.system import Dataset, Evaluation, Predict, TrainableModel

PRIMARY_METRIC = "average_precision"
REVIEWED = 100  # rows that a review team can look at
QUALITY = Quality(score="score", decision="is_fraud", reviewed=REVIEWED, weight=FEATURES[AMOUNT])

Array = np.ndarray[Any, Any]


def calibrate(model: TrainableModel, dataset: Dataset) -> Threshold:
    """Set the threshold that would have cost least on the validation slice."""
    assert isinstance(model, FraudScorer)
    held = dataset.validation
    score = scores(model, held.inputs["features"])
    value = cheapest_threshold(score, held.truth, held.inputs["features"][:, AMOUNT])
    model.threshold.fill_(value)
    return Threshold(
        value=value,
        chosen_by=f"least cost on the validation slice: a missed fraud costs its amount, a review {REVIEW_FEE:g}",
    )


def primary(outputs: Mapping[str, Array], truth: Array) -> float:
    """Average precision: the area under the precision-recall curve, which rare positives do not flatter."""
    return areas(outputs["score"], truth)[0]


def ranking(outputs: Mapping[str, Array], truth: Array) -> dict[str, float]:
    """How well the score orders rows, whatever the threshold."""
    score = outputs["score"]
    average_precision, auc_roc = areas(score, truth)
    top = np.argpartition(-score, REVIEWED)[:REVIEWED]
    return {
        "average_precision": average_precision,
        "auc_roc": auc_roc,
        f"precision_at_{REVIEWED}": float(truth[top].mean()),
    }


def metrics(outputs: Mapping[str, Array], truth: Array) -> dict[str, float]:
    """Ranking, and the decisions at the threshold that the graph holds."""
    flagged = outputs["is_fraud"]
    caught = float(np.sum(flagged & truth))
    precision = caught / max(float(flagged.sum()), 1.0)
    recall = caught / max(float(truth.sum()), 1.0)
    return {
        **ranking(outputs, truth),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(precision + recall, 1e-12),
        "cost_saved": saved(flagged, truth, outputs["amount"]),
    }


def evaluate(predict: Predict, dataset: Dataset, plots: Path, seed: int) -> Evaluation:
    """Score the graph and the baselines on the test slice."""
    test = dataset.test
    amount = test.inputs["features"][:, AMOUNT]
    outputs = {**predict(test.inputs), "amount": amount}
    others = {name: score(dataset, seed) for name, score in _BASELINES.items()}
    threshold = _threshold(outputs)
    return Evaluation(
        metrics=intervals(metrics, outputs, test.truth, seed),
        baselines={name: intervals(ranking, {"score": score}, test.truth, seed) for name, score in others.items()},
        plots={
            "precision_recall": draw.precision_recall(
                {"autoencoders": outputs["score"], **others}, test.truth, threshold, plots
            ),
            "score_histogram": draw.score_histogram(outputs["score"], test.truth, threshold, plots),
        },
    )


_BASELINES: Mapping[str, Callable[[Dataset, int], Array]] = {
    "pca": baselines.pca,
    "pca_same_size": baselines.pca_same_size,
    "isolation_forest": baselines.isolation_forest,
    "supervised": baselines.supervised,
}


def _threshold(outputs: Mapping[str, Array]) -> float:
    """The graph's own threshold, as its decisions show it."""
    flagged = outputs["score"][outputs["is_fraud"]]
    return float(flagged.min()) if flagged.size else float(outputs["score"].max())
