"""What simpler or better-informed methods reach on the same split: scores (n,) of the test slice, higher is worse."""

from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler

from pipelines.fraud.data import AMOUNT
from pipelines.system import Dataset

Array = np.ndarray[Any, Any]

PCA_COMPONENTS = (5, 10, 15, 20, 25)
SUPERVISED_LEGITIMATE_ROWS = 20_000  # beside all frauds of the training slice: a tenth of the time, the same ranking


def pca(dataset: Dataset, seed: int) -> Array:
    """Reconstruction error of principal components; their number is chosen on the validation slice."""
    del seed
    scaler = StandardScaler().fit(_log_amount(dataset.fit["features"]))
    fit, held, test = (
        scaler.transform(_log_amount(features))
        for features in (
            dataset.fit["features"],
            dataset.validation.inputs["features"],
            dataset.test.inputs["features"],
        )
    )
    full = PCA().fit(fit)

    def error(rows: Array, components: int) -> Array:
        kept = full.components_[:components]  # (components, features)
        centred = rows - full.mean_
        return np.square(centred - centred @ kept.T @ kept).sum(axis=1)

    best = max(PCA_COMPONENTS, key=lambda k: average_precision_score(dataset.validation.truth, error(held, k)))
    return error(test, best)


def isolation_forest(dataset: Dataset, seed: int) -> Array:
    """Isolation forest (Liu et al. 2008) on legitimate training rows."""
    forest = IsolationForest(n_estimators=100, max_samples=2048, random_state=seed, n_jobs=2)
    forest.fit(dataset.fit["features"])
    return -forest.score_samples(dataset.test.inputs["features"])


def supervised_forest(dataset: Dataset, seed: int) -> Array:
    """A random forest that sees the labels: what labelling would buy."""
    rng = np.random.default_rng(seed)
    frauds, legitimate = (np.flatnonzero(dataset.train.truth == is_fraud) for is_fraud in (True, False))
    count = min(SUPERVISED_LEGITIMATE_ROWS, len(legitimate))
    chosen = np.sort(np.concatenate((frauds, rng.choice(legitimate, count, replace=False))))
    forest = RandomForestClassifier(n_estimators=100, random_state=seed, n_jobs=2)
    forest.fit(dataset.train.inputs["features"][chosen], dataset.train.truth[chosen])
    return forest.predict_proba(dataset.test.inputs["features"])[:, 1]


def _log_amount(features: Array) -> Array:
    values = features.astype(np.float64)
    values[:, AMOUNT] = np.log1p(np.maximum(values[:, AMOUNT], 0))
    return values
