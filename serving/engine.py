"""The seam between protocols (REST, gRPC) and models: which version answers a request, and where it runs.

Protocols hand over a decoded request and get the answering version's card with its outputs; they know nothing of
sessions, threads or versions beside each other.
"""

from collections.abc import Mapping
from typing import Protocol

from drillyard.core.contract import ModelCard
from serving.metrics import ShedReason, Variant
from serving.protocol.asgi import ClientGoneError
from serving.protocol.errors import RequestError
from serving.protocol.patience import FOREVER, DeadlinePassedError, Patience
from serving.protocol.tensors import Array
from serving.protocol.v2 import InferRequest
from serving.recipes import Batching
from serving.runner import Runner


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
    def shed(self, reason: ShedReason) -> None: ...


class Engine:
    """Answers decoded requests for one model."""

    def __init__(self, predictor: Predicting, metrics: Measuring, batching: Batching) -> None:
        self._predictor, self._metrics = predictor, metrics
        self._measures = metrics.of(predictor.card.version, "champion")
        self._drift = metrics.drift(predictor.card)
        self._runner = Runner(predictor, self._measures, batching)

    def card(self, version: str | None = None) -> ModelCard:
        """The card of a version as a path or message names it; None means what the server chooses.

        Requests are decoded against it. Raises RequestError (404) for a version that is not served.
        """
        card = self._predictor.card
        if version not in (None, str(card.version)):
            raise RequestError(404, f"model {card.name} has no version {version!r} here; expected {card.version}")
        return card

    async def infer(
        self, request: InferRequest, version: str | None = None, patience: Patience = FOREVER
    ) -> tuple[ModelCard, dict[str, Array]]:
        """The card of the version that answered, and the requested outputs.

        Raises RequestError, and ClientGoneError when there is nobody left to answer.
        """
        self.card(version)
        self._measures.takes()
        try:
            outputs = await self._runner.run(request, patience)
        except DeadlinePassedError:
            self._metrics.shed("deadline")
            raise
        except ClientGoneError:
            self._metrics.shed("client gone")
            raise
        self._drift.observe(request.inputs, outputs)
        return self._predictor.card, outputs
