"""A replica's side of a change of versions: load beside what answers, prove, then replace in one assignment."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol
from uuid import uuid4

from drillyard.core.contract import ModelCard
from drillyard.core.errors import ArtifactRefused, DrillyardError
from serving.engine import Engine
from serving.logs import LOGGER
from serving.metrics import ModelMetrics
from serving.protocol.tensors import Array
from serving.recipes import Batching
from serving.variants import Counts, Report, Tally, Variants

log = logging.getLogger(LOGGER)


class Loaded(Protocol):
    """A predictor, as the loading function returns it."""

    card: ModelCard
    byte_time_s: float

    def check(self) -> None: ...
    def predict(self, inputs: dict[str, Array], outputs: tuple[str, ...]) -> dict[str, Array]: ...


Load = Callable[[int, ModelCard | None], Loaded]  # of a version, beside the card of what is served


class Follower:
    """Keeps one engine at the variants that the supervisor wants."""

    def __init__(
        self, wanted: Variants, load: Load, metrics_of: Callable[[ModelCard], ModelMetrics], batching: Batching
    ) -> None:
        """Raises DrillyardError when the champion cannot be served; a challenger that cannot is left out."""
        self._load, self._lock = load, asyncio.Lock()
        self._replica = uuid4().hex
        self._refused: str | None = None
        champion = load(wanted.champion, None)
        self._predictors = {wanted.champion: champion}
        self.metrics = metrics_of(champion.card)
        self.engine = Engine(champion, self.metrics, batching)
        if wanted.challenger is not None:
            try:
                self._predictors[wanted.challenger] = load(wanted.challenger, champion.card)
            except DrillyardError as error:
                self._refuse(error)
                wanted = Variants(revision=wanted.revision, champion=wanted.champion)
        self._serve(wanted)

    def check(self) -> None:
        """One real inference of the champion; raises when it cannot answer."""
        self._predictors[self.engine.lineup.variants.champion].check()

    async def follow(self, wanted: Variants) -> Report:
        """Serve these variants if they are newer and every version in them proves itself; otherwise go on as before.

        Requests are answered throughout. A refusal is in the report, not raised.
        """
        async with self._lock:
            if wanted.revision > self.engine.lineup.variants.revision:
                try:
                    await self._load_missing(wanted)
                except DrillyardError as error:
                    self._refuse(error)
                else:
                    self._refused = None
                    self._serve(wanted)
                self._forget()
            return self.report()

    def report(self) -> Report:
        """What is served now, and the counts so far."""
        lineup = self.engine.lineup
        slow_s, variants = lineup.variants.slow_s, lineup.variants
        challenger = Tally()
        if variants.challenger is not None and not variants.shadow:
            challenger = self.metrics.of(variants.challenger, "challenger").tally(slow_s)
        counts = Counts(champion=self.metrics.of(variants.champion, "champion").tally(slow_s), challenger=challenger)
        if lineup.comparer is not None:
            counts = replace(counts, compared=lineup.comparer.seen)
        return Report(replica=self._replica, variants=variants, refused=self._refused, counts=counts)

    async def _load_missing(self, wanted: Variants) -> None:
        beside = self._predictors[self.engine.lineup.variants.champion].card
        for version in wanted.versions:
            if version not in self._predictors:
                # In a thread: the event loop goes on answering with what it has.
                self._predictors[version] = await asyncio.to_thread(self._load, version, beside)

    def _serve(self, wanted: Variants) -> None:
        self.engine.serve(wanted, self._predictors)
        self.metrics.champion = self.metrics.of(wanted.champion, "champion")

    def _forget(self) -> None:
        """Versions that are not served any more; requests under way hold on to theirs until they are answered."""
        served = self.engine.lineup.variants.versions
        self._predictors = {version: self._predictors[version] for version in served}
        self.metrics.forget(served)

    def _refuse(self, error: DrillyardError) -> None:
        self._refused = error.reason if isinstance(error, ArtifactRefused) else str(error)
        log.error("version refused, the versions served stay: %s", error)
