"""The seam between protocols (REST, gRPC) and models: which version answers a request, and where it runs.

Protocols hand over a decoded request and get the answering version's card with its outputs; they know nothing of
sessions, threads or versions beside each other.
"""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from drillyard.core.contract import ModelCard
from serving.metrics import Variant
from serving.protocol.errors import RequestError
from serving.protocol.tensors import Array
from serving.protocol.v2 import InferRequest

OFFLOAD_S = 0.002  # a call expected to take longer leaves the event loop; a shorter one costs less than the hand-over


class Predicting(Protocol):
    """What the engine needs of a predictor."""

    card: ModelCard
    row_time_s: float

    def predict(self, inputs: dict[str, Array], outputs: tuple[str, ...]) -> dict[str, Array]: ...


class Measures(Protocol):
    """What is counted of one version in one role."""

    def takes(self) -> None: ...
    def queue_wait(self, seconds: float) -> None: ...
    def inference(self, seconds: float, rows: int) -> None: ...


class Watching(Protocol):
    """What looks at a version's requests and answers, to see them drift."""

    def observe(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None: ...


class Measuring(Protocol):
    """What the engine needs of the metrics."""

    def of(self, version: int, variant: Variant) -> Measures: ...
    def drift(self, card: ModelCard) -> Watching: ...


class Engine:
    """Answers decoded requests for one model."""

    def __init__(self, predictor: Predicting, metrics: Measuring) -> None:
        self._predictor = predictor
        self._measures = metrics.of(predictor.card.version, "champion")
        self._drift = metrics.drift(predictor.card)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")

    def card(self, version: str | None = None) -> ModelCard:
        """The card of a version as a path or message names it; None means what the server chooses.

        Requests are decoded against it. Raises RequestError (404) for a version that is not served.
        """
        card = self._predictor.card
        if version not in (None, str(card.version)):
            raise RequestError(404, f"model {card.name} has no version {version!r} here; expected {card.version}")
        return card

    async def infer(self, request: InferRequest, version: str | None = None) -> tuple[ModelCard, dict[str, Array]]:
        """The card of the version that answered, and the requested outputs. Raises RequestError."""
        self.card(version)
        return self._predictor.card, await self._run(self._predictor, request)

    async def _run(self, predictor: Predicting, request: InferRequest) -> dict[str, Array]:
        self._measures.takes()
        asked = time.perf_counter()
        if request.rows * predictor.row_time_s > OFFLOAD_S:
            loop = asyncio.get_running_loop()
            began, ended, outputs = await loop.run_in_executor(self._pool, _timed, predictor, request)
        else:
            began, ended, outputs = _timed(predictor, request)
        self._measures.queue_wait(began - asked)
        self._measures.inference(ended - began, request.rows)
        self._drift.observe(request.inputs, outputs)
        return outputs


def _timed(predictor: Predicting, request: InferRequest) -> tuple[float, float, dict[str, Array]]:
    """When the call began and ended, and the outputs. Raises RequestError."""
    began = time.perf_counter()
    outputs = predictor.predict(request.inputs, request.outputs)
    return began, time.perf_counter(), outputs
