"""The seam between protocols (REST, gRPC) and models: which version answers a request, and where it runs.

Protocols hand over a decoded request and get the answering version's card with its outputs; they know nothing of
sessions, threads or versions beside each other.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from drillyard.core.contract import ModelCard
from serving.protocol.errors import RequestError
from serving.protocol.tensors import Array
from serving.protocol.v2 import InferRequest

OFFLOAD_S = 0.002  # a call expected to take longer leaves the event loop; a shorter one costs less than the hand-over


class Predicting(Protocol):
    """What the engine needs of a predictor."""

    card: ModelCard
    row_time_s: float

    def predict(self, inputs: dict[str, Array], outputs: tuple[str, ...]) -> dict[str, Array]: ...


class Engine:
    """Answers decoded requests for one model."""

    def __init__(self, predictor: Predicting) -> None:
        self._predictor = predictor
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
        if request.rows * predictor.row_time_s > OFFLOAD_S:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, predictor.predict, request.inputs, request.outputs)
        return predictor.predict(request.inputs, request.outputs)
