"""Naming a run's data set in a store that others write to at the same moment."""

from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from pipelines import tracking

CARD: Any = SimpleNamespace()


class Store:
    """Refuses as often as it is told to, and keeps what it then takes."""

    def __init__(self, *refusals: str) -> None:
        self._refusals, self.taken = list(refusals), []

    def log_inputs(self, run_id: str, datasets: list[Any]) -> None:
        if self._refusals:
            raise MlflowException(self._refusals.pop(0))
        self.taken.append((run_id, datasets))


@pytest.fixture(autouse=True)
def lineage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_lineage", lambda _: "the data set")


def test_a_data_set_that_another_writer_just_named_is_asked_for_again() -> None:
    client: Any = Store("duplicate key: Key (experiment_id, name, digest) already exists.")
    tracking._log_lineage(client, "run", CARD)
    assert client.taken == [("run", ["the data set"])]


@pytest.mark.parametrize("refusals", [("disk full",), ("it already exists", "it already exists")])
def test_any_other_refusal_and_a_second_one_is_told(refusals: tuple[str, ...]) -> None:
    client: Any = Store(*refusals)
    with pytest.raises(MlflowException, match=refusals[-1]):
        tracking._log_lineage(client, "run", CARD)
    assert not client.taken
