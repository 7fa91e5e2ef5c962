"""What the card says of the training slice: deciles that a reader can recompute, on both systems, from real arrays."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drillyard.core import summary
from drillyard.core.contract import TensorSpec
from drillyard.core.settings import Settings
from pipelines import system
from pipelines.summary import MAX_ROWS, bins, summarise

VALUES = st.lists(st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, 1.0, 2.99, -1e-7]), min_size=1, max_size=60)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(values=VALUES)
def test_each_row_is_in_one_bin_and_shares_are_of_the_bins_they_name(values: list[float]) -> None:
    column = np.array(values, dtype=np.float32)
    found = bins("x", column)
    inner = [-np.inf, *found.edges, np.inf]
    for low, high, share in zip(inner[:-1], inner[1:], found.shares, strict=True):
        assert share == pytest.approx(np.mean((low < column) & (column <= high)), abs=1e-5)
    assert all(share > 0 for share in found.shares), "an empty bin would make any later row look like drift"


def test_deciles_of_a_smooth_feature_hold_a_tenth_each() -> None:
    found = bins("x", np.random.default_rng(0).normal(size=20_000))
    assert found.shares == pytest.approx([0.1] * 10, abs=1e-3)
    assert found.edges[4] == pytest.approx(0.0, abs=0.03)


def test_a_constant_is_one_bin() -> None:
    assert bins("x", np.ones(5)).shares == (1.0,)


@pytest.mark.parametrize(
    ("name", "features", "score"),
    [("fraud", {"V1", "Amount"}, "score"), ("vision", {"image.brightness", "image.contrast"}, "scores")],
)
def test_each_system_is_summarised_without_saying_how(name: str, features: set[str], score: str) -> None:
    the_system = system.get(name)
    recipe = the_system.recipe("smoke")
    data = the_system.load(recipe.dataset, Settings.from_env({}))
    spec = recipe.model.spec(data.labels)

    def predict(inputs: Any) -> dict[str, Any]:
        rows = len(next(iter(inputs.values())))
        assert rows == min(len(data.validation), MAX_ROWS), "the score's bins are of the validation slice"
        shape = spec.outputs[0].shape[1:]
        return {score: np.random.default_rng(0).random((rows, *shape)).astype(np.float32)}

    found = summarise(spec, data, predict)
    assert features <= {each.feature for each in found.inputs}
    assert found.score is not None
    assert found.score.feature == score
    assert len(found.model_dump_json()) < 10_000, "a card stays small"


def test_training_rows_stand_for_the_slice_they_come_from() -> None:
    """Each reported share of fraud's first feature, against all training rows."""
    the_system = system.get("fraud")
    data = the_system.load("synthetic-transactions", Settings.from_env({}))
    spec = the_system.recipe("smoke").model.spec(data.labels)
    found = summarise(spec, data, lambda inputs: {"score": np.arange(len(inputs["features"]), dtype=np.float32)})
    column = data.train.inputs["features"][:, 0]
    edges = [-np.inf, *found.inputs[0].edges, np.inf]
    shares = [np.mean((low < column) & (column <= high)) for low, high in pairwise(edges)]
    assert found.inputs[0].shares == pytest.approx(shares, abs=1e-4)


def test_images_are_looked_at_alike_whatever_their_size() -> None:
    spec = TensorSpec(name="image", dtype="UINT8", shape=(-1, -1, -1, 3))
    small = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    large = small.repeat(64, axis=1).repeat(64, axis=2)
    assert summary.thinned(spec, large).shape == (2, 16, 16, 3)
    for a, b in zip(summary.columns(spec, small), summary.columns(spec, large), strict=True):
        np.testing.assert_allclose(a, b, rtol=0.01)
    once = summary.thinned(spec, large)
    np.testing.assert_array_equal(summary.thinned(spec, once), once)
    np.testing.assert_allclose(summary.columns(spec, small)[0], small.reshape(2, -1).mean(axis=1))
