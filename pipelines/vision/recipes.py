"""Whole vision recipes; each is a documented trade of size against accuracy."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from pipelines.system import Recipe, TrainConfig
from pipelines.vision.model import ResidualCnn

DEFAULT = "base"


def base() -> Recipe:
    """Fashion-MNIST inside a coffee break."""
    return Recipe(
        system="vision",
        name="base",
        purpose="the demo's model: Fashion-MNIST in under a minute of training on two cores",
        dataset="fashion-mnist",
        model=ResidualCnn(image_size=28, widths=(32, 64, 128)),
        train=TrainConfig(
            epochs=4,
            batch_size=512,
            optimizer="muon",
            learning_rate=0.1,
            weight_decay=0.0,
            momentum=0.6,
            warmup=0.1,
            grad_clip=10.0,
            precision="bf16",
            channels_last=True,
        ),
    )


def base_int8() -> Recipe:
    """The base model quantised after training: the same accuracy within half a point, faster to answer."""
    return replace(base(), name="base-int8", purpose="base with 8-bit weights and activations", int8=True)


def smoke() -> Recipe:
    """8x8 digits in seconds, for tests."""
    return Recipe(
        system="vision",
        name="smoke",
        purpose="tests: the whole path in seconds on data that scikit-learn ships",
        dataset="digits",
        model=ResidualCnn(image_size=16, widths=(32, 32, 32)),
        train=TrainConfig(
            epochs=4,
            batch_size=64,
            optimizer="muon",
            learning_rate=0.05,
            weight_decay=0.0,
            momentum=0.6,
            warmup=0.1,
            grad_clip=10.0,
            precision="bf16",
            channels_last=True,
        ),
    )


RECIPES: Mapping[str, Callable[[], Recipe]] = {"base": base, "base-int8": base_int8, "smoke": smoke}
