"""References parse or say what a valid one looks like; contracts are frozen and strict."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drillyard.core.contract import Bins, ModelRef, TensorSpec
from drillyard.core.errors import UsageError
from drillyard.core.settings import Settings
from drillyard.core.slo import Verdict


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("fraud", ModelRef(name="fraud", alias="champion")),
        ("fraud@challenger", ModelRef(name="fraud", alias="challenger")),
        ("fraud/12", ModelRef(name="fraud", version=12)),
    ],
)
def test_reference_forms(text: str, ref: ModelRef) -> None:
    assert ModelRef.parse(text) == ref
    assert ModelRef.parse(str(ref)) == ref


@given(text=st.text(max_size=20))
def test_anything_else_names_the_valid_form(text: str) -> None:
    try:
        ref = ModelRef.parse(text)
    except UsageError as error:
        assert "fraud@champion" in str(error)
    else:
        assert ModelRef.parse(str(ref)) == ref


@pytest.mark.parametrize("text", ["fraud/0", "fraud/-1", "fraud@", "../fraud", "fraud/1/2", "Fraud", "fraud\n"])
def test_bad_references(text: str) -> None:
    with pytest.raises(UsageError):
        ModelRef.parse(text)


def test_contracts_are_frozen_and_refuse_strange_fields() -> None:
    spec = TensorSpec(name="x", dtype="FP32", shape=(-1, 2))
    with pytest.raises(ValidationError):
        spec.name = "y"
    with pytest.raises(ValidationError):
        TensorSpec(name="x", dtype="FP32", shape=(-1,), extra=1)


def test_verdicts_are_exit_codes() -> None:
    assert [int(verdict.exit_code) for verdict in Verdict] == [0, 1, 3]


def test_settings_follow_the_environment(tmp_path) -> None:
    plain = Settings.from_env({"HOME": str(tmp_path)}, tmp_path)
    assert plain.home == tmp_path / ".drillyard"
    assert plain.cache == tmp_path / ".cache" / "drillyard"
    assert plain.tracking_uri == f"sqlite:///{tmp_path}/.drillyard/mlflow.db"
    moved = Settings.from_env(
        {
            "DRILLYARD_HOME": "state here",
            "DRILLYARD_CACHE": str(tmp_path / "c"),
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000",
            "RAY_ADDRESS": "ray.example:6379",
        },
        tmp_path,
    )
    assert moved.home == tmp_path / "state here"
    assert (moved.tracking_uri, moved.ray_address) == ("http://127.0.0.1:5000", "ray.example:6379")


@pytest.mark.parametrize("changes", [{"edges": (1.0, 1.0)}, {"edges": (2.0, 1.0)}, {"shares": (0.5, 0.5)}])
def test_bins_whose_edges_and_shares_do_not_fit_are_refused(changes: dict[str, object]) -> None:
    good = {"feature": "x", "edges": (1.0, 2.0), "shares": (0.2, 0.3, 0.5)}
    assert Bins(**good).edges == (1.0, 2.0)
    with pytest.raises(ValidationError, match="edges must ascend"):
        Bins(**(good | changes))
