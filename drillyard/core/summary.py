"""Which numbers of a tensor are summarised on the card and watched for drift while serving.

One definition for both sides: pipelines computes a card's summary with these functions, serving holds live requests
against it with the same ones. They use only what every array has (slices, `mean`, `std`, `max`), so that this package
needs no array library. What a tensor is, is read from its data type and shape, never from a model's name.
"""

from typing import Any

from drillyard.core.contract import TensorSpec

LARGE_PSI = 0.25  # of a stability index: a large change (Siddiqi, 2006)
GRID = 16  # an image is looked at on a grid of at most so many points a side


def features(spec: TensorSpec, labels: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the numbers that `columns` takes from such an input; empty when it has none that can be binned."""
    if _is_image(spec):
        return f"{spec.name}.brightness", f"{spec.name}.contrast"
    if not _is_real(spec):
        return ()
    if len(spec.shape) == 1:
        return (spec.name,)
    if len(spec.shape) == 2 and spec.shape[1] != -1:
        width = spec.shape[1]
        return labels if len(labels) == width else tuple(f"{spec.name}[{i}]" for i in range(width))
    return ()


def thinned(spec: TensorSpec, values: Any) -> Any:
    """As much of an input (batch, ...) as `columns` looks at: images on a grid, whatever their size."""
    if not _is_image(spec):
        return values
    height, width = values.shape[1:3]
    return values[:, :: -(-height // GRID), :: -(-width // GRID)]


def columns(spec: TensorSpec, values: Any) -> tuple[Any, ...]:
    """For each of `features` its numbers, (batch,): mean and standard deviation of an image's bytes, or the column."""
    if _is_image(spec):
        grid = thinned(spec, values)
        return grid.mean(axis=(1, 2, 3)), grid.std(axis=(1, 2, 3))
    return (values,) if len(spec.shape) == 1 else tuple(values.T)


def score(outputs: tuple[TensorSpec, ...]) -> TensorSpec | None:
    """The output whose distribution stands for the model's: the first of real numbers, one or a few a row."""
    return next((spec for spec in outputs if _is_real(spec) and len(spec.shape) <= 2), None)


def score_column(spec: TensorSpec, values: Any) -> Any:
    """One number a row, (batch,): the score itself, or the largest of several."""
    return values if len(spec.shape) == 1 else values.max(axis=1)


def _is_image(spec: TensorSpec) -> bool:
    return spec.dtype == "UINT8" and len(spec.shape) == 4


def _is_real(spec: TensorSpec) -> bool:
    return spec.dtype in ("FP32", "FP64")
