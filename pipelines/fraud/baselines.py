"""What simpler or better-informed methods reach on the same split: scores (n,) of the test slice, higher is worse."""

from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest
from sklearn.preprocessing import StandardScaler

from pipelines.fraud.data import AMOUNT
from pipelines.ranking import areas
from pipelines.system import Dataset

Array = np.ndarray[Any, Any]

CODE = 20  # the base recipe's bottleneck: PCA of the same size is the linear autoencoder


def pca(dataset: Dataset, seed: int) -> Array:
    """Reconstruction error of principal components; how many are kept is chosen on the validation slice."""
    del seed
    errors = _PcaErrors(dataset)
    held, truth = dataset.validation.inputs["features"], dataset.validation.truth
    best = max(range(1, held.shape[1]), key=lambda kept: areas(errors(held, kept), truth)[0])
    return errors(dataset.test.inputs["features"], best)


def pca_same_size(dataset: Dataset, seed: int) -> Array:
    """Reconstruction error of as many principal components as the autoencoder's code has units."""
    del seed
    return _PcaErrors(dataset)(dataset.test.inputs["features"], CODE)


def isolation_forest(dataset: Dataset, seed: int) -> Array:
    """Isolation forest (Liu et al. 2008) on known-good training rows; settings chosen on the validation slice."""
    rows = dataset.fit["features"]
    forest = IsolationForest(n_estimators=100, max_samples=min(8192, len(rows)), max_features=0.3, random_state=seed)
    forest.fit(rows)
    return -forest.score_samples(dataset.test.inputs["features"])


def supervised(dataset: Dataset, seed: int) -> Array:
    """Gradient boosted trees that see the labels: what labelling would buy."""
    trees = HistGradientBoostingClassifier(
        max_iter=100,
        learning_rate=0.05,
        max_leaf_nodes=8,
        l2_regularization=10,
        early_stopping=False,
        random_state=seed,
    )
    trees.fit(dataset.train.inputs["features"], dataset.train.truth)
    return trees.predict_proba(dataset.test.inputs["features"])[:, 1]


class _PcaErrors:
    """Squared reconstruction error of standardised rows (amounts logged) from the first principal components."""

    def __init__(self, dataset: Dataset) -> None:
        known_good = _log_amount(dataset.fit["features"])
        self._scaler = StandardScaler().fit(known_good)
        self._axes = PCA().fit(self._scaler.transform(known_good)).components_  # (features, features)

    def __call__(self, features: Array, kept: int) -> Array:
        rows = self._scaler.transform(_log_amount(features))
        return np.square(rows @ self._axes[kept:].T).sum(axis=1)


def _log_amount(features: Array) -> Array:
    values = features.astype(np.float64)
    values[:, AMOUNT] = np.log1p(np.maximum(values[:, AMOUNT], 0))
    return values
