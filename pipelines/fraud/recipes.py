"""Whole fraud recipes; each is a documented trade of size against ranking quality."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from pipelines.fraud.model import DenoisingAutoencoders
from pipelines.system import Recipe, TrainConfig

DEFAULT = "base"


def base() -> Recipe:
    """Four autoencoders: steady over seeds."""
    return Recipe(
        system="fraud",
        name="base",
        purpose="the demo's model: four autoencoders whose average is steady over seeds",
        dataset="ulb-creditcard",
        model=DenoisingAutoencoders(members=4, hidden=192, code=24, noise=0.5, clip=4.0),
        train=TrainConfig(
            epochs=6,
            batch_size=1024,
            optimizer="adamw",
            learning_rate=3e-3,
            weight_decay=0.0,
            warmup=0.1,
            grad_clip=10.0,
        ),
    )


def single() -> Recipe:
    """One autoencoder: a quarter of the work, more luck."""
    return replace(
        base(),
        name="single",
        purpose="one autoencoder: a quarter of the work a row, more at the mercy of the seed",
        model=DenoisingAutoencoders(members=1, hidden=192, code=24, noise=0.5, clip=4.0),
    )


def smoke() -> Recipe:
    """Synthetic transactions in seconds, for tests."""
    return Recipe(
        system="fraud",
        name="smoke",
        purpose="tests: the whole path in seconds on generated transactions",
        dataset="synthetic-transactions",
        model=DenoisingAutoencoders(members=2, hidden=32, code=8, noise=0.5, clip=8.0),
        train=TrainConfig(
            epochs=3,
            batch_size=128,
            optimizer="adamw",
            learning_rate=3e-3,
            weight_decay=0.0,
            warmup=0.1,
            grad_clip=10.0,
        ),
    )


RECIPES: Mapping[str, Callable[[], Recipe]] = {"base": base, "single": single, "smoke": smoke}
