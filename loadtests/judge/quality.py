"""What a model's decisions were worth while it was under load: one that comes too late is none.

A drill sends the same samples over and over, so its passes through them differ in nothing but what was answered. Of
each pass is told which share was answered in time, which share of the reviewed rows (the highest scores answered) was
positive, and which share of the positives' weight was missed. The model's card names score, decision and weight.
"""

from array import array
from pathlib import Path
from typing import Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from drillyard.core.contract import ModelCard, Quality
from drillyard.core.load import Load
from drillyard.core.slo import DrillPlan
from loadtests.generator.arrivals import Times
from loadtests.generator.payloads import Payloads, read_samples
from loadtests.generator.recorder import WRONG, Recorder


class AnswersKept:
    """Requests as they are, with the score and the decision of each answer that was not the model's own."""

    def __init__(self, payloads: Payloads, quality: Quality) -> None:
        self.bodies = payloads.bodies
        self.wrong: dict[int, tuple[float, bool]] = {}  # by number of the request
        self._payloads, self._quality = payloads, quality

    def choose(self, number: int) -> int:
        return self._payloads.choose(number)

    def judge(self, number: int, status: int, body: bytes) -> str | None:
        error = self._payloads.judge(number, status, body)
        if error == WRONG:
            answer = _read(body, self._quality)
            if answer is not None:
                self.wrong[number] = answer
        elif self.wrong:
            self.wrong.pop(number, None)  # a client that asked again was answered rightly
        return error


class TimesKept(Recorder):
    """A recorder that also remembers the intended times of the requests that were answered within the bound."""

    def __init__(self, bound_ms: float) -> None:
        super().__init__(bound_ms)
        self.answered_s = array("d")

    def outcome(self, intended_s: float, done_s: float, error: str | None) -> None:
        super().outcome(intended_s, done_s, error)
        if (error is None or error == WRONG) and (done_s - intended_s) * 1000 <= self.bound_ms:
            self.answered_s.append(intended_s)


class Watch:
    """What is kept of one drill's answers; for models with a `quality`, asked for their own samples in turn."""

    def __init__(self, card: ModelCard, quality: Quality, arrays: dict[str, NDArray[Any]], payloads: Payloads) -> None:
        self.requests = AnswersKept(payloads, quality)
        self._card, self._arrays = card, arrays
        self._recorder = TimesKept(0.0)

    @classmethod
    def of(cls, plan: DrillPlan, payloads: Payloads, samples: Path) -> Self | None:
        """None where there is nothing to watch. Raises as `read_samples`."""
        quality = payloads.card.quality
        if quality is None or plan.traffic is not None or not isinstance(plan.load, Load):
            return None
        return cls(payloads.card, quality, read_samples(samples)[1], payloads)

    def begin(self, bound_ms: float) -> Recorder:
        """A recorder for the next phase; what was kept of the one before is forgotten."""
        self.requests.wrong.clear()
        self._recorder = TimesKept(bound_ms)
        return self._recorder

    def figures(self, times: Times) -> dict[str, Any] | None:
        """Of the last phase, whose intended times these are; None without a whole pass."""
        return measured(
            self._card,
            self._arrays,
            rows=len(self.requests.bodies),
            times=times,
            answered_s=self._recorder.answered_s,
            wrong=self.requests.wrong,
        )


def measured(
    card: ModelCard,
    arrays: dict[str, NDArray[Any]],
    *,
    rows: int,
    times: Times,
    answered_s: "array[float]",
    wrong: dict[int, tuple[float, bool]],
) -> dict[str, Any] | None:
    """The passes of a drill through `rows` samples; None without a whole pass or a `quality` on the card.

    `times` (requests,) are the intended ones, `answered_s` those of them that were answered in time; `wrong` are the
    answers that were not the model's own.
    """
    quality, passes = card.quality, len(times) // rows
    if quality is None or not passes:
        return None
    truth, weight = arrays["truth"][:rows].astype(bool), _weight(card, quality, arrays)[:rows]
    answered = np.zeros(len(times), bool)
    answered[np.searchsorted(times, np.asarray(answered_s))] = True
    score, decided = (np.tile(arrays[f"output.{name}"][:rows], passes) for name in (quality.score, quality.decision))
    for number, (value, decision) in wrong.items():
        if number < len(score):
            score[number], decided[number] = value, decision

    def of(part: slice, given: NDArray[np.bool_]) -> tuple[float, float]:
        return _precision(score[part], truth, given, quality.reviewed), _missed(decided[part], truth, given, weight)

    parts = [slice(first, first + rows) for first in range(0, passes * rows, rows)]
    figures = [of(part, answered[part]) for part in parts]
    own = arrays[f"output.{quality.score}"][:rows], arrays[f"output.{quality.decision}"][:rows]
    everything = np.ones(rows, bool)
    return {
        "rows": rows,
        "reviewed": quality.reviewed,
        "weight": quality.weight,
        "t_s": [float(times[part].mean()) for part in parts],
        "answered": [float(answered[part].mean()) for part in parts],
        "precision": [precision for precision, _ in figures],
        "missed": [missed for _, missed in figures],
        "at_stake": float(weight[truth].sum()) * passes,
        "unloaded": {
            "precision": _precision(own[0], truth, everything, quality.reviewed),
            "missed": _missed(own[1], truth, everything, weight),
        },
    }


def _precision(score: NDArray[Any], truth: NDArray[np.bool_], answered: NDArray[np.bool_], reviewed: int) -> float:
    ranked = np.flatnonzero(answered)[np.argsort(-score[answered], kind="stable")][:reviewed]
    return float(truth[ranked].mean()) if len(ranked) else 0.0


def _missed(
    decided: NDArray[Any], truth: NDArray[np.bool_], answered: NDArray[np.bool_], weight: NDArray[Any]
) -> float:
    """Share of the positives' weight that no decision in time stood against."""
    at_stake = float(weight[truth].sum())
    return float(weight[truth & ~(answered & decided.astype(bool))].sum()) / at_stake if at_stake > 0 else 0.0


def _weight(card: ModelCard, quality: Quality, arrays: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    features = np.asarray(arrays[f"input.{card.inputs[0].name}"], float)  # (samples, features)
    return np.asarray(features[:, card.labels.index(quality.weight)])


def _read(body: bytes, quality: Quality) -> tuple[float, bool] | None:
    """Score and decision of one row; None when the answer does not hold them."""
    try:
        outputs = {each["name"]: each["data"] for each in orjson.loads(body)["outputs"]}
        return float(outputs[quality.score][0]), bool(outputs[quality.decision][0])
    except (ValueError, TypeError, KeyError, IndexError):
        return None
