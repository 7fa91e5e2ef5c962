"""Whole fraud recipes; each is a documented trade of size against ranking quality."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from pipelines.fraud.model import DenoisingAutoencoders
from pipelines.system import Recipe, TrainConfig

DEFAULT = "base"


def base() -> Recipe:
    """Eight small autoencoders: the smallest model within one standard error of the best on validation."""
    return Recipe(
        system="fraud",
        name="base",
        purpose="the demo's model: eight small autoencoders; steady over seeds, less than half the arithmetic of large",
        dataset="ulb-creditcard",
        model=DenoisingAutoencoders(members=8, hidden=64, code=20, noise=0.3),
        train=TrainConfig(
            epochs=4,
            batch_size=1024,
            optimizer="adamw",
            learning_rate=3e-3,
            weight_decay=0.0,
            warmup=0.1,
            grad_clip=10.0,
        ),
    )


def large() -> Recipe:
    """Four wide autoencoders: the best average precision on validation, not on test."""
    return replace(
        base(),
        name="large",
        purpose="four wide autoencoders with a wide code: best on validation by a hair, at several times the work",
        model=DenoisingAutoencoders(members=4, hidden=256, code=27, noise=0.5),
        train=replace(base().train, epochs=6),
    )


def single() -> Recipe:
    """One small autoencoder: an eighth of the work, more luck."""
    return replace(
        base(),
        name="single",
        purpose="one small autoencoder: an eighth of the work a row, more at the mercy of the seed",
        model=DenoisingAutoencoders(members=1, hidden=64, code=20, noise=0.3),
    )


def unfiltered() -> Recipe:
    """What the labels of the past are worth: the base model, trained with the frauds left in."""
    return replace(
        base(),
        name="unfiltered",
        purpose="base trained on rows whose frauds nobody took out: what a team without labelled history gets",
        dataset="ulb-creditcard-unfiltered",
    )


def smoke() -> Recipe:
    """Synthetic transactions in seconds, for tests."""
    return Recipe(
        system="fraud",
        name="smoke",
        purpose="tests: the whole path in seconds on generated transactions",
        dataset="synthetic-transactions",
        model=DenoisingAutoencoders(members=2, hidden=32, code=8, noise=0.5),
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


RECIPES: Mapping[str, Callable[[], Recipe]] = {
    "base": base,
    "large": large,
    "single": single,
    "unfiltered": unfiltered,
    "smoke": smoke,
}
