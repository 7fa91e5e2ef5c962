"""One ONNX session behind the verbs setup (the constructor and `warm_up`) and predict. No Ray in it.

The other two verbs of the serving seam, decode and encode, are the protocol's: they need the card, not the session.
"""

import time
from zipfile import BadZipFile

import numpy as np

from drillyard.core.contract import MODEL_FILE, SAMPLES_FILE
from drillyard.core.errors import ArtifactRefused
from serving.artifact import LocalModel
from serving.graph import check_signature, open_session
from serving.protocol.errors import RequestError
from serving.protocol.tensors import Array

ROWS = 8  # of the samples are kept
FLOAT_TOLERANCE = 1e-3
DECISIONS_THAT_MAY_DIFFER = 0.25


class Predictor:
    """A model version, ready to answer. Safe to call from several threads (onnxruntime sessions are)."""

    def __init__(self, model: LocalModel, *, threads: int) -> None:
        """Raises ArtifactRefused: inputs or outputs are not the card's, samples are not plain arrays."""
        self.card = model.card
        self._session = open_session(model.path / MODEL_FILE, threads=threads, ref=model.ref)
        check_signature(self._session, self.card)
        self._all_outputs = tuple(spec.name for spec in self.card.outputs)
        try:
            with np.load(model.path / SAMPLES_FILE, allow_pickle=False) as samples:
                self._samples: dict[str, Array] = {s.name: samples[f"input.{s.name}"][:ROWS] for s in self.card.inputs}
                self._answers: dict[str, Array] = {n: samples[f"output.{n}"][:ROWS] for n in self._all_outputs}
        except (ValueError, KeyError, BadZipFile) as error:  # objects instead of numbers, no such tensor, no archive
            raise ArtifactRefused(str(model.ref), f"{SAMPLES_FILE} cannot be read: {error}") from None
        self.byte_time_s = 0.0  # of a call, for each byte of its inputs; measured by warm_up

    def prove(self) -> None:
        """Answer the samples as the graph answered them when it was exported. Raises ArtifactRefused.

        Numbers may differ by what other instructions of another processor make of them; decisions near a threshold may
        then fall otherwise, but not many.
        """
        name = f"{self.card.name}/{self.card.version}"
        try:
            outputs = self.predict(self._samples, self._all_outputs)
        except RequestError as error:
            raise ArtifactRefused(name, f"it cannot answer its own samples: {error.message}") from None
        for output, expected in self._answers.items():
            actual = outputs[output]
            if actual.dtype.kind == "f":
                same = actual.shape == expected.shape and np.allclose(actual, expected, rtol=0, atol=FLOAT_TOLERANCE)
            else:
                same = actual.shape == expected.shape and np.mean(actual != expected) <= DECISIONS_THAT_MAY_DIFFER
            if not same:
                raise ArtifactRefused(name, f"its output {output} for its own samples is not what it was when exported")

    def warm_up(self, rounds: int = 5) -> None:
        """Answer real samples, so that the first request meets warm caches, and measure what one row takes."""
        self.predict(self._samples, self._all_outputs)
        times = []
        for _ in range(rounds):
            started = time.perf_counter()
            self.check()
            times.append(time.perf_counter() - started)
        self.byte_time_s = min(times) / sum(rows[:1].nbytes for rows in self._samples.values())

    def check(self) -> None:
        """One real inference; raises when the model cannot answer."""
        self.predict({name: rows[:1] for name, rows in self._samples.items()}, self._all_outputs)

    def predict(self, inputs: dict[str, Array], outputs: tuple[str, ...]) -> dict[str, Array]:
        """The named outputs, in that order, for validated inputs. Raises RequestError (500) when the graph fails."""
        try:
            values = self._session.run(outputs, inputs)
        except Exception as error:  # onnxruntime's errors share no base class of their own
            raise RequestError(500, f"model {self.card.name} failed on a valid request: {error}") from error
        return dict(zip(outputs, values, strict=True))
