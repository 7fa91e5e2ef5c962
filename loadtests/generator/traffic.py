"""Requests that are not the model's own samples: malformed ones among them, or inputs from elsewhere.

Each has the three members that an exchange needs of `Payloads`: the bodies, which of them is request `number`, and what
is wrong with its answer.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from drillyard.core.contract import ModelCard, TensorSpec
from drillyard.core.errors import UsageError
from drillyard.core.traffic import Drift, Poison, Traffic
from loadtests.generator.payloads import Payloads, read_samples
from loadtests.generator.recorder import REJECTED

Arrays = dict[str, NDArray[Any]]
_GOLDEN = 0x9E3779B1  # Knuth's multiplicative hash: which requests are malformed is decided by their number alone


class Requests(Protocol):
    """What an exchange sends, and how it judges the answers."""

    bodies: list[bytes]

    def choose(self, number: int) -> int: ...
    def judge(self, number: int, status: int, body: bytes) -> str | None: ...


def shaped(traffic: Traffic | None, payloads: Payloads, folder: Path) -> Requests:
    """The samples of that folder, which `payloads` holds, as this traffic has them. Raises UsageError."""
    if isinstance(traffic, Poison):
        return Poisoned(payloads, traffic)
    if isinstance(traffic, Drift):
        card, arrays = read_samples(folder)
        return Drifted(card, arrays, traffic, payloads.rows)
    return payloads


class Poisoned:
    """The samples, and malformed copies of them; a malformed one must be answered with a 4xx."""

    def __init__(self, payloads: Payloads, poison: Poison) -> None:
        self._payloads, self._limit = payloads, poison.share * 2**32
        self._good = len(payloads.bodies)
        self.bodies = payloads.bodies + [spoil(payloads.bodies[0]) for spoil in _SPOILED]

    def choose(self, number: int) -> int:
        if not self._is_bad(number):
            return self._payloads.choose(number)
        return self._good + number % len(_SPOILED)

    def judge(self, number: int, status: int, body: bytes) -> str | None:
        if not self._is_bad(number):
            return self._payloads.judge(number, status, body)
        return REJECTED if 400 <= status < 500 else f"malformed answered {status}"

    def _is_bad(self, number: int) -> bool:
        return number * _GOLDEN % 2**32 < self._limit


def _changed(body: bytes, **fields: Any) -> bytes:
    request = orjson.loads(body)
    request["inputs"][0] |= fields
    return orjson.dumps(request)


_SPOILED: tuple[Callable[[bytes], bytes], ...] = (
    lambda body: body[: len(body) // 2],
    lambda body: _changed(body, name="no-such-tensor"),
    lambda body: _changed(body, datatype="BYTES"),
    lambda body: _changed(body, shape=[1, 1, 1, 1, 1]),
    lambda body: _changed(body, data=[None]),
)


class Drifted(Payloads):
    """The samples, moved; answers must have the card's outputs, whatever the numbers in them."""

    def __init__(self, card: ModelCard, arrays: Arrays, drift: Drift, rows: int = 1) -> None:
        """Raises UsageError for a feature that the card does not name, and for a model with nothing to move."""
        moved = {f"input.{spec.name}": _moved(spec, arrays[f"input.{spec.name}"], card, drift) for spec in card.inputs}
        if all(np.array_equal(moved[key], arrays[key]) for key in moved):
            raise UsageError("drift", drift.model_dump(), "a model that takes images or columns of real numbers")
        super().__init__(card, arrays | moved, rows)
        self._names = {spec.name for spec in card.outputs}

    def check(self, number: int, body: bytes) -> bool:
        """Does the answer have the card's outputs? What they should be, nobody knows."""
        del number
        try:
            named = {output["name"]: output["data"] for output in orjson.loads(body)["outputs"]}
        except (ValueError, TypeError, KeyError):
            return False
        return set(named) == self._names and all(named.values())


def _moved(spec: TensorSpec, values: NDArray[Any], card: ModelCard, drift: Drift) -> NDArray[Any]:
    """(samples, ...) of the same type and shape."""
    if spec.dtype == "UINT8" and values.ndim == 4:
        return (_blurred(values) * max(0.0, 1 - drift.strength)).astype(np.uint8)
    if spec.dtype in ("FP32", "FP64") and values.ndim == 2:
        step = drift.strength * values.std(axis=0) * _mask(values.shape[1], card, drift)
        return (values + step).astype(values.dtype)
    return values


def _blurred(images: NDArray[Any]) -> NDArray[Any]:
    """Mean over 3 by 3 pixels; edges are repeated. (samples, height, width, channels), as FP64."""
    wide = np.pad(images.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = images.shape[1:3]
    parts = [wide[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.asarray(sum(parts) / len(parts))


def _mask(columns: int, card: ModelCard, drift: Drift) -> NDArray[Any]:
    """1 for each column that is to be shifted, else 0: (columns,)."""
    unknown = set(drift.features) - set(card.labels)
    if unknown:
        raise UsageError("drift.features", sorted(unknown), "labels of the model's card, such as " + card.labels[0])
    if not drift.features or len(card.labels) != columns:
        return np.ones(columns)
    return np.array([label in drift.features for label in card.labels], dtype=float)
