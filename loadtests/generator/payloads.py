"""Real test samples -> ready-encoded requests, and the check of each answer against the model's own.

A sample folder holds `samples.npz` and the `card.json` of the model version that made it (see
`drillyard.core.contract`). Bodies follow the Open Inference Protocol v2 REST API, one row or several a request, data
flattened in row-major order: https://github.com/open-inference/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

import copy
import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ValidationError

from drillyard.core.contract import CARD_FILE, SAMPLES_FILE, ModelCard, ModelRef
from drillyard.core.errors import ArtifactRefused, UsageError
from loadtests.generator.recorder import WRONG

# Another batch size or thread count reorders float sums; a share of 1e-3 is far above that and far below any decision
# that matters.
RTOL, ATOL = 1e-3, 1e-4
MAX_SAMPLES = 2000  # bounds memory (a 32x32x3 image is about 11 kB of JSON); requests cycle through the samples


def infer_path(model: str) -> str:
    """`fraud` or `fraud@champion` -> `/v2/models/fraud/infer`; `fraud/3` asks for that version."""
    ref = ModelRef.parse(model)
    version = f"/versions/{ref.version}" if ref.version is not None else ""
    return f"/v2/models/{quote(ref.name)}{version}/infer"


def read_card(folder: Path) -> ModelCard:
    """The card beside the samples. Raises UsageError when it is missing or not a card."""
    path = folder / CARD_FILE
    try:
        return ModelCard.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise UsageError("samples", str(folder), f"a folder with {SAMPLES_FILE} and {CARD_FILE}") from exc
    except ValidationError as exc:
        raise UsageError("samples", str(path), f"a model card; {exc.error_count()} fields are not: {exc}") from exc


def read_samples(folder: Path) -> tuple[ModelCard, dict[str, NDArray[Any]]]:
    """Card and arrays of a sample folder.

    Raises UsageError (not such a folder), ArtifactRefused (not the card's samples).
    """
    card = read_card(folder)
    path = folder / SAMPLES_FILE
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != card.samples_sha256:
            raise ArtifactRefused(f"{card.name}/{card.version}", f"{path} has sha256 {digest}, not the card's")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (OSError, ValueError) as exc:
        raise UsageError("samples", str(path), f"a readable {SAMPLES_FILE} without pickled objects") from exc
    return card, arrays


@dataclass(frozen=True, kw_only=True)
class _Expected:
    """One request's own answer: bounds for each float, the exact decision tensors; rows one after the other."""

    floats: dict[str, tuple[list[float], list[float]]]  # tensor -> lowest, highest accepted value, flattened
    decisions: dict[str, list[int | bool]]


class Payloads:
    """Request bodies by number, and what their answers must be."""

    def __init__(self, card: ModelCard, arrays: dict[str, NDArray[Any]], rows: int = 1) -> None:
        """`arrays` as in samples.npz: `input.<tensor>`, `output.<tensor>`, each (samples, ...). Raises UsageError.

        Each request holds `rows` consecutive samples.
        """
        for key in [f"input.{t.name}" for t in card.inputs] + [f"output.{t.name}" for t in card.outputs]:
            if key not in arrays or not len(arrays[key]):
                raise UsageError("samples", sorted(arrays), f"an npz with a non-empty array {key!r}")
        self.card = card
        count = min(len(arrays[f"input.{card.inputs[0].name}"]), MAX_SAMPLES)
        self.rows = rows
        places = [np.arange(first, first + rows) % count for first in range(0, count, rows)]
        self.bodies = [self._body(arrays, place) for place in places]
        self._expected = [self._answer(arrays, place) for place in places]
        self._threshold = card.threshold.value if card.threshold else None

    @classmethod
    def load(cls, folder: Path, rows: int = 1) -> Self:
        """Read a sample folder. Raises as `read_samples`."""
        return cls(*read_samples(folder), rows)

    def __len__(self) -> int:
        return len(self.bodies)

    def only_first(self) -> Self:
        """The same with its first request alone."""
        first = copy.copy(self)
        first.bodies, first._expected = self.bodies[:1], self._expected[:1]
        return first

    def first_answer(self) -> bytes:
        """A right answer to the first request."""
        expected = self._expected[0]
        middles = {
            name: [(low + high) / 2 for low, high in zip(*bounds, strict=True)]
            for name, bounds in expected.floats.items()
        }
        outputs = [{"name": name, "data": data} for name, data in {**middles, **expected.decisions}.items()]
        return orjson.dumps({"outputs": outputs})

    def choose(self, number: int) -> int:
        """Which of the bodies is request `number`."""
        return number % len(self.bodies)

    def judge(self, number: int, status: int, body: bytes) -> str | None:
        """The error kind of an answer to request `number`, None for the right one."""
        if status != HTTPStatus.OK:
            return str(status)
        return None if self.check(number, body) else WRONG

    def check(self, number: int, body: bytes) -> bool:
        """Is this the right answer to request `number`? Every answer is checked in full (about 10 us).

        Floats must lie within RTOL and ATOL of the sample's own. Decisions (BOOL, INT64) must be equal; one that
        differs is accepted only at a near tie, where the float noise that is accepted explains it: the threshold lies
        within tolerance of a score, or the answered label's score within tolerance of the highest.
        """
        expected = self._expected[self.choose(number)]
        try:
            answer = {out["name"]: _flat(out["data"]) for out in orjson.loads(body)["outputs"]}
            for name, (low, high) in expected.floats.items():
                values = answer[name]
                if len(values) != len(low):
                    return False
                for value, lowest, highest in zip(values, low, high, strict=True):
                    if not lowest <= value <= highest:  # written so that NaN is wrong
                        return False
            return all(
                answer[name] == decision or self._ties(answer, name, decision)
                for name, decision in expected.decisions.items()
            )
        except (ValueError, TypeError, KeyError):  # not JSON, or not the protocol's shape
            return False

    def _ties(self, answer: dict[str, list[Any]], name: str, decision: list[Any]) -> bool:
        """Is each flipped decision of the rows one that the accepted float noise explains?"""
        if not len(answer[name]) == len(decision) == self.rows:
            return False
        values = [answer[tensor.name] for tensor in self.card.outputs if tensor.dtype in ("FP32", "FP64")]
        for row, (decided, due) in enumerate(zip(answer[name], decision, strict=True)):
            scores = [value[row * (size := len(value) // self.rows) :][:size] for value in values]
            if decided != due and not self._tie(decided, scores):
                return False
        return True

    def _tie(self, decided: Any, scores: list[list[float]]) -> bool:
        if isinstance(decided, bool):
            bound = self._threshold
            return bound is not None and any(
                len(score) == 1 and abs(score[0] - bound) <= _tolerance(bound) for score in scores
            )
        classes = len(self.card.labels)
        return 0 <= decided < classes and any(
            len(score) == classes and max(score) - score[decided] <= 2 * _tolerance(max(score)) for score in scores
        )

    def _body(self, arrays: dict[str, NDArray[Any]], place: NDArray[Any]) -> bytes:
        inputs = []
        for tensor in self.card.inputs:
            value = arrays[f"input.{tensor.name}"][place]  # (rows, ...)
            data = np.ascontiguousarray(value).reshape(-1)
            inputs.append({"name": tensor.name, "shape": list(value.shape), "datatype": tensor.dtype, "data": data})
        return orjson.dumps({"inputs": inputs}, option=orjson.OPT_SERIALIZE_NUMPY)

    def _answer(self, arrays: dict[str, NDArray[Any]], place: NDArray[Any]) -> _Expected:
        floats, decisions = {}, {}
        for tensor in self.card.outputs:
            value = np.asarray(arrays[f"output.{tensor.name}"][place]).reshape(-1)
            if tensor.dtype in ("FP32", "FP64"):
                wide = value.astype(np.float64)
                slack = ATOL + RTOL * np.abs(wide)
                floats[tensor.name] = ((wide - slack).tolist(), (wide + slack).tolist())
            else:
                decisions[tensor.name] = value.tolist()
        return _Expected(floats=floats, decisions=decisions)


def _tolerance(value: float) -> float:
    return ATOL + RTOL * abs(value)


def _flat(data: list[Any]) -> list[Any]:
    """The protocol allows nested or flattened data."""
    while data and isinstance(data[0], list):
        data = [value for inner in data for value in inner]
    return data
