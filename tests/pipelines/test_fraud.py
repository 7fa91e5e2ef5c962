"""Fraud: the split, the cost, the score's reasons."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from drillyard.core.contract import DatasetRef
from pipelines.fraud import cost
from pipelines.fraud.data import AMOUNT, FEATURES, read_csv, split, synthetic
from pipelines.fraud.model import DenoisingAutoencoders, FraudScorer

REF = DatasetRef(name="synthetic-transactions", sha256="0" * 64)


def test_split_is_by_time_and_the_loop_sees_no_fraud() -> None:
    rows = synthetic(1000)
    data = split(rows, REF)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [600, 200, 200]
    joined = np.concatenate([part.inputs["features"] for part in (data.train, data.validation, data.test)])
    np.testing.assert_array_equal(joined, rows.features)
    assert set(data.fit) == {"features"}  # no label crosses
    assert len(data.fit["features"]) == int((~data.train.truth).sum())


def test_csv_rows_are_deduplicated_and_in_time_order(tmp_path) -> None:
    row = dict.fromkeys(FEATURES, 0.5) | {"Class": 0}
    rows = [row | {"Time": 7.0, "Amount": 2.0}, row | {"Time": 3.0}, row | {"Time": 7.0, "Amount": 2.0}]
    frame = pd.DataFrame(rows)[["Time", *FEATURES, "Class"]]
    frame.to_csv(tmp_path / "creditcard.csv", index=False)
    found = read_csv(tmp_path / "creditcard.csv")
    assert found.features[:, AMOUNT].tolist() == [0.5, 2.0]
    assert found.features.dtype == np.float32


@given(
    score=arrays(np.float32, 12, elements=st.integers(0, 50).map(float), unique=True),
    is_fraud=arrays(np.bool_, 12),
    amount=arrays(np.float32, 12, elements=st.integers(0, 40).map(float)),
)
def test_no_other_threshold_costs_less(score, is_fraud, amount) -> None:
    chosen = cost.cheapest_threshold(score, is_fraud, amount)
    found = cost.cost(score > chosen, is_fraud, amount).total
    every = [*score.tolist(), float(score.min()) - 1]
    assert found <= min(cost.cost(score > other, is_fraud, amount).total for other in every) + 1e-6


def test_catching_everything_without_a_false_alarm_saves_all_but_the_reviews() -> None:
    is_fraud = np.array([True, False, True])
    assert cost.saved(is_fraud, is_fraud, np.array([100.0, 5.0, 50.0])) == pytest.approx(1 - 2 * cost.REVIEW_FEE / 150)


@pytest.fixture(scope="module")
def scorer() -> FraudScorer:
    torch.manual_seed(0)
    data = split(synthetic(3000), REF)
    model = FraudScorer(DenoisingAutoencoders(members=2, hidden=16, code=6, noise=0.5, clip=8.0), len(FEATURES))
    model.prepare(data.fit)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    batch = {"features": torch.tensor(data.fit["features"])}
    for _ in range(60):
        optimizer.zero_grad()
        model.loss(batch, 0.0, generator).backward()
        optimizer.step()
    model.eval().finalise(data.fit)
    return model


def test_whitened_residuals_of_legitimate_rows_have_unit_covariance(scorer) -> None:
    rows = torch.tensor(split(synthetic(3000), REF).fit["features"])
    with torch.no_grad():
        whitened = (scorer.residuals(rows) - scorer.residual_mean) @ scorer.whitening
    covariance = torch.cov(whitened.T)
    torch.testing.assert_close(covariance, torch.eye(len(FEATURES)), atol=0.1, rtol=0)


@settings(deadline=None, max_examples=25)
@given(feature=st.integers(0, len(FEATURES) - 1))
def test_reasons_are_shares_and_name_the_feature_that_is_off(scorer, feature) -> None:
    rows = torch.tensor(split(synthetic(3000), REF).fit["features"][:200]).clone()
    spread = torch.tensor(split(synthetic(3000), REF).fit["features"]).std(dim=0)
    rows[:, feature] = rows[:, feature].exp() if feature == AMOUNT else rows[:, feature] + 8 * spread[feature]
    with torch.no_grad():
        score, reasons = scorer.score(rows)
    assert torch.all(score >= 0)
    assert torch.all(reasons >= 0)
    torch.testing.assert_close(reasons.sum(dim=1), torch.ones(len(rows)))
    assert (reasons.argmax(dim=1) == feature).float().mean() > 0.5
