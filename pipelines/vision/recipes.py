"""Whole vision recipes; each is a documented trade of size against accuracy."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pipelines.system import Recipe, TrainConfig
from pipelines.vision.augment import Augmentation
from pipelines.vision.model import ResidualCnn

DEFAULT = "base"

_GREY = ResidualCnn(
    image_size=28,
    widths=(32, 128, 128),
    whitened=4,  # grey images have no more
    augmentation=Augmentation(crop_padding=1, sizes=((0.5, 20),)),
)


def _train(**changes: Any) -> TrainConfig:
    """Found for two workers of one thread each on CIFAR-10; half batches that are multiples of 16 train fastest."""
    return replace(
        TrainConfig(
            epochs=4,
            batch_size=992,
            optimizer="muon",
            learning_rate=0.24,
            weight_decay=0.0,
            momentum=0.6,
            warmup=0.0,
            grad_clip=10.0,
            precision="bf16",
            channels_last=True,
        ),
        **changes,
    )


def base() -> Recipe:
    """Fashion-MNIST in a coffee break."""
    return Recipe(
        system="vision",
        name="base",
        purpose="the demo's model: 0.5 M parameters, Fashion-MNIST in about a minute on two cores",
        dataset="fashion-mnist",
        model=_GREY,
        train=_train(epochs=5),
    )


def small() -> Recipe:
    """A sixth of the size, for what it costs in accuracy."""
    return replace(
        base(),
        name="small",
        purpose="0.09 M parameters: the cheapest to answer with, at some accuracy",
        model=replace(_GREY, widths=(32, 32, 64)),
    )


def deep() -> Recipe:
    """A fourth stage: more layers, on maps that shrink to one pixel."""
    return replace(
        base(),
        name="deep",
        purpose="base with a fourth stage: what two more convolutions bring",
        model=replace(_GREY, widths=(32, 128, 128, 128)),
    )


def coarse() -> Recipe:
    """Images of half the pixels, in training and when served."""
    return replace(
        base(),
        name="coarse",
        purpose="base on images of 20x20: half the pixels, in training and when served",
        model=replace(_GREY, image_size=20, augmentation=Augmentation(crop_padding=1, sizes=((0.5, 16),))),
    )


def cifar() -> Recipe:
    """Colour photographs in ten minutes of two cores."""
    return Recipe(
        system="vision",
        name="cifar",
        purpose="2.0 M parameters on CIFAR-10, ten minutes on two cores; each image is also read mirrored",
        dataset="cifar10",
        model=ResidualCnn(
            image_size=32,
            widths=(64, 256, 256),
            flip_average=True,
            augmentation=Augmentation(crop_padding=2, sizes=((0.35, 20), (0.65, 26))),
        ),
        train=_train(epochs=21),
    )


def cifar_large() -> Recipe:
    """What a GPU has time for: five times the weights, whole images throughout."""
    return replace(
        cifar(),
        name="cifar-large",
        purpose="6.1 M parameters on CIFAR-10, for a GPU: whole images throughout",
        model=ResidualCnn(image_size=32, widths=(128, 384, 512), flip_average=True),
        train=_train(epochs=40),
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
        train=_train(epochs=4, batch_size=64, learning_rate=0.1),
    )


RECIPES: Mapping[str, Callable[[], Recipe]] = {
    "base": base,
    "base-int8": base_int8,
    "small": small,
    "deep": deep,
    "coarse": coarse,
    "cifar": cifar,
    "cifar-large": cifar_large,
    "smoke": smoke,
}
