"""The loop: repeatable, resumable to the same result, and loud when it diverges."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from drillyard.core.errors import TrainingFailed
from drillyard.core.settings import Settings
from pipelines import loop, system
from pipelines.feed import InMemory
from pipelines.loop import Record
from pipelines.optim import one_cycle, orthogonalise
from pipelines.system import Recipe


class OneProcess:
    """A peer that keeps what it is told."""

    rank, world_size, device = 0, 1, torch.device("cpu")

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.state, self.records, self.saved = state, [], []  # type: ignore[var-annotated]

    def tell(self, record: Record) -> None:
        self.records.append(record)

    def save(self, state: dict[str, Any], record: Record) -> None:
        self.saved.append(torch.utils._pytree.tree_map(lambda v: v.clone() if torch.is_tensor(v) else v, state))

    def restore(self) -> dict[str, Any] | None:
        return self.state


def train(recipe: Recipe, peer: OneProcess) -> dict[str, torch.Tensor]:
    data = system.get(recipe.system).load(recipe.dataset, Settings.from_env({}))
    return loop.run(recipe, data.labels, InMemory(data.fit), data.fit_validation, peer)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(params=["vision", "fraud"])
def recipe(request) -> Recipe:
    whole = system.get(request.param).recipe("smoke")
    return replace(whole, train=replace(whole.train, epochs=2))


def test_same_seed_same_weights_other_seed_other_weights(recipe) -> None:
    first, second = train(recipe, OneProcess()), train(recipe, OneProcess())
    assert same(first, second)
    assert not same(first, train(replace(recipe, train=replace(recipe.train, seed=1)), OneProcess()))


def test_resuming_from_an_epoch_gives_the_undisturbed_result(recipe) -> None:
    whole = OneProcess()
    expected = train(recipe, whole)
    resumed = OneProcess(state=whole.saved[0])
    assert same(train(recipe, resumed), expected)
    assert resumed.records[0].epoch == 2


def test_validation_loss_falls(recipe) -> None:
    peer = OneProcess()
    train(recipe, peer)
    losses = [record.validation_loss for record in peer.records if record.validation_loss is not None]
    assert len(losses) == recipe.train.epochs
    assert losses[-1] < losses[0]


def test_divergence_names_step_and_learning_rate() -> None:
    recipe = system.get("fraud").recipe("smoke")
    wild = replace(recipe, train=replace(recipe.train, optimizer="sgd", learning_rate=1e6))
    with pytest.raises(TrainingFailed, match=r"step \d+ of 81 .*learning rate .*lower learning_rate, now 1e\+06"):
        train(wild, OneProcess())


def test_one_cycle_rises_then_falls() -> None:
    assert one_cycle(0.25, warmup=0.25, final=0.0) == 1.0
    assert one_cycle(0.0, warmup=0.25, final=0.0) == pytest.approx(0.2)
    assert one_cycle(1.0, warmup=0.25, final=0.05) == pytest.approx(0.05)


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (16, 16)])
def test_orthogonalise_evens_out_singular_values(shape) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape), steps=5))
    assert torch.all((values > 0.3) & (values < 1.4))
