"""The seam between protocols (REST, gRPC) and models: which version answers a request, and where it runs.

Protocols hand over a decoded request and get the answering version's card with its outputs; they know nothing of
sessions, threads or versions beside each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import random
from typing import Protocol

from drillyard.core.contract import ModelCard
from serving.comparison import Comparer
from serving.metrics import Comparison, ShedReason, Variant
from serving.protocol.asgi import ClientGoneError
from serving.protocol.errors import RequestError
from serving.protocol.patience import FOREVER, DeadlinePassedError, Patience
from serving.protocol.tensors import Array
from serving.protocol.v2 import InferRequest
from serving.recipes import Batching
from serving.runner import Runner
from serving.variants import Variants


class Predicting(Protocol):
    """What the engine needs of a predictor."""

    card: ModelCard
    byte_time_s: float

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
    def compared(self, version: int, outcome: Comparison) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A version in its role."""

    predictor: Predicting
    role: Variant
    measures: Measures
    drift: Watching
    runner: Runner


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineup:
    """Everything that decides who answers; replaced as a whole, so that no request sees half a change."""

    variants: Variants
    champion: Served
    challenger: Served | None = None
    comparer: Comparer | None = None  # there is one exactly when there is a challenger


class Engine:
    """Answers decoded requests for one model. All versions served at once have the same inputs and outputs."""

    def __init__(self, predictor: Predicting, metrics: Measuring, batching: Batching) -> None:
        """With `predictor` as the champion, and no challenger."""
        self._metrics, self._batching = metrics, batching
        variants = Variants(revision=0, champion=predictor.card.version)
        self.lineup = Lineup(variants=variants, champion=self._new(predictor, "champion"))

    def serve(self, variants: Variants, predictors: Mapping[int, Predicting]) -> None:
        """From the next request on, these variants; requests under way are answered by the versions they have."""
        champion = self._served(predictors[variants.champion], "champion")
        version, challenger, comparer = variants.challenger, None, None
        if version is not None:
            challenger = self._served(predictors[version], "shadow" if variants.shadow else "challenger")
            comparer = Comparer(lambda outcome: self._metrics.compared(version, outcome))
        self.lineup = Lineup(variants=variants, champion=champion, challenger=challenger, comparer=comparer)

    @property
    def versions(self) -> tuple[int, ...]:
        """All that answer when they are asked for by number, the champion first."""
        return self.lineup.variants.versions

    def card(self, version: str | None = None) -> ModelCard:
        """The card of a version as a path or message names it; None means what the server chooses.

        Requests are decoded against it. Raises RequestError (404) for a version that is not served.
        """
        if version is None:
            return self.lineup.champion.predictor.card
        return _named(self.lineup, version).predictor.card

    async def infer(
        self, request: InferRequest, version: str | None = None, patience: Patience = FOREVER
    ) -> tuple[ModelCard, dict[str, Array]]:
        """The card of the version that answered, and the requested outputs.

        Raises RequestError, and ClientGoneError when there is nobody left to answer.
        """
        lineup = self.lineup
        if version is not None:
            served = _named(lineup, version)
            return served.predictor.card, await self._run(served, request, patience)
        if lineup.challenger is None or lineup.comparer is None:
            return lineup.champion.predictor.card, await self._run(lineup.champion, request, patience)
        served, other = _chosen(lineup, lineup.challenger, request.id)
        outputs = await self._run(served, request, patience)
        if other is not None:
            predict = other.predictor.predict
            quick = request.input_bytes * other.predictor.byte_time_s <= self._batching.offload_s
            lineup.comparer.offer(outputs, lambda: predict(request.inputs, request.outputs), quick=quick)
        return served.predictor.card, outputs

    async def _run(self, served: Served, request: InferRequest, patience: Patience) -> dict[str, Array]:
        served.measures.takes()
        try:
            outputs = await served.runner.run(request, patience)
        except DeadlinePassedError:
            self._metrics.shed("deadline")
            raise
        except ClientGoneError:
            self._metrics.shed("client gone")
            raise
        served.drift.observe(request.inputs, outputs)
        return outputs

    def _served(self, predictor: Predicting, role: Variant) -> Served:
        """With the queue it has, when it plays that role already."""
        for served in (self.lineup.champion, self.lineup.challenger):
            if served is not None and served.predictor is predictor and served.role == role:
                return served
        return self._new(predictor, role)

    def _new(self, predictor: Predicting, role: Variant) -> Served:
        measures = self._metrics.of(predictor.card.version, role)
        drift = self._metrics.drift(predictor.card)
        runner = Runner(predictor, measures, self._batching)
        return Served(predictor=predictor, role=role, measures=measures, drift=drift, runner=runner)


def _named(lineup: Lineup, version: str) -> Served:
    if version == str(lineup.variants.champion):
        return lineup.champion
    if lineup.challenger is not None and version == str(lineup.variants.challenger):
        return lineup.challenger
    name, served = lineup.champion.predictor.card.name, " or ".join(map(str, lineup.variants.versions))
    raise RequestError(404, f"model {name} has no version {version!r} here; expected {served}")


def _chosen(lineup: Lineup, challenger: Served, key: str | None) -> tuple[Served, Served | None]:
    """Who answers the request with that id, and whose answer is compared with it afterwards."""
    if lineup.variants.shadow:
        return lineup.champion, challenger
    if lineup.variants.challenger_answers(str(random()) if key is None else key):
        return challenger, lineup.champion
    return lineup.champion, None
