"""Credit-card transactions, split by time; the training loop sees legitimate ones only and no label."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from drillyard.core.contract import DatasetRef
from drillyard.core.errors import UsageError
from drillyard.core.settings import Settings
from pipelines import sources
from pipelines.system import Dataset, Split

FEATURES = (*(f"V{i}" for i in range(1, 29)), "Amount")  # Time is not a feature: it only orders the rows
AMOUNT = FEATURES.index("Amount")
ULB = "ulb-creditcard"
UNFILTERED = "ulb-creditcard-unfiltered"  # the same files; the frauds of the past stay among what the model learns
TRAIN_SHARE, VALIDATION_SHARE = 0.6, 0.2  # the rest is the test slice

Matrix = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Transactions:
    """Rows in time order, exact duplicates dropped."""

    features: Matrix  # (n, 29) float32
    is_fraud: Matrix  # (n,) bool


def load(dataset: str, settings: Settings, say: Callable[[str], None] = lambda _: None) -> Dataset:
    """The named data set, split 60/20/20 by time. Raises SourceError, UsageError."""
    if dataset in (ULB, UNFILTERED):
        paths = sources.fetch(ULB, settings, say)
        ref = sources.fingerprint(ULB, paths).model_copy(update={"name": dataset})
        return split(read_csv(paths["creditcard.csv"]), ref, keep_frauds=dataset == UNFILTERED)
    if dataset == "synthetic-transactions":
        return split(synthetic(), sources.fingerprint(dataset, {}))
    raise UsageError("dataset", dataset, f"{ULB}, {UNFILTERED} or synthetic-transactions")


def read_csv(path: Path) -> Transactions:
    """The ULB layout: Time, V1..V28, Amount, Class. Duplicates go first: they would leak from slice to slice."""
    frame = pd.read_csv(path).drop_duplicates().sort_values("Time", kind="stable")
    return Transactions(
        features=np.ascontiguousarray(frame[list(FEATURES)].to_numpy(np.float32)),
        is_fraud=frame["Class"].to_numpy() == 1,
    )


def synthetic(rows: int = 6000, seed: int = 0) -> Transactions:
    """Transactions near a 5-dimensional plane; 2% frauds lie off it. For fast tests only."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(5, len(FEATURES)))
    features = rng.normal(size=(rows, 5)) @ mixing + 0.3 * rng.normal(size=(rows, len(FEATURES)))
    is_fraud = rng.random(rows) < 0.02
    features[is_fraud] += rng.normal(scale=0.5, size=(int(is_fraud.sum()), len(FEATURES)))
    features[:, AMOUNT] = np.exp(rng.normal(3.0, 1.5, rows))
    return Transactions(features=features.astype(np.float32), is_fraud=is_fraud)


def split(transactions: Transactions, ref: DatasetRef, *, keep_frauds: bool = False) -> Dataset:
    """Split by time, so that the future never informs the past. The model sees frauds only if they are kept."""
    count = len(transactions.is_fraud)
    first, second = int(count * TRAIN_SHARE), int(count * (TRAIN_SHARE + VALIDATION_SHARE))

    def rows(start: int, stop: int) -> Split:
        return Split(
            inputs={"features": transactions.features[start:stop]},
            truth=transactions.is_fraud[start:stop],
        )

    train, validation, test = rows(0, first), rows(first, second), rows(second, count)
    return Dataset(
        ref=ref,
        labels=FEATURES,
        fit=train.inputs if keep_frauds else _legitimate(train),
        fit_validation=_legitimate(validation),
        train=train,
        validation=validation,
        test=test,
    )


def _legitimate(part: Split) -> dict[str, Matrix]:
    return {name: values[~part.truth] for name, values in part.inputs.items()}
