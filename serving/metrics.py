"""The handles through which a process counts; what each metric is called stands in catalogue.py."""

import time
from collections.abc import Collection
from contextvars import ContextVar
from pathlib import Path
from typing import Literal

from drillyard.core.contract import ModelCard
from serving.catalogue import (
    BATCH_ROWS,
    COMPARISONS,
    FRONT_REQUESTS,
    IN_FLIGHT,
    INFERENCE,
    LATENCY,
    LIFECYCLE,
    QUEUE_WAIT,
    REQUESTS,
    SHED,
)
from serving.cells import Cell, Store
from serving.drift import DriftWatch
from serving.variants import Tally

Variant = Literal["champion", "challenger", "shadow"]
ShedReason = Literal["deadline", "client gone"]
Comparison = Literal["agree", "disagree", "dropped", "failed"]
LifecycleEvent = Literal["synced", "canary", "shadow", "rolled back", "refused"]

SERVER_FAILURES = (500, 503, 504)  # exported from zero on: a rate does not see the step from no count to the first

# Who answers the request that the present task works on. The engine says so before it runs a version, so that a failure
# too is counted for the version that failed; routes and gRPC need not know.
_answering: "ContextVar[VariantMetrics | None]" = ContextVar("answering", default=None)


class VariantMetrics:
    """The metrics of one version of a model in one role. Called on the event loop's thread only."""

    def __init__(self, store: Store, model: str, version: int, variant: Variant) -> None:
        self._store = store
        self._labels = {"model": model, "version": str(version), "variant": variant}
        self._latency, self._queue_wait, self._inference, self._rows = (
            store.buckets(metric, self._labels) for metric in (LATENCY, QUEUE_WAIT, INFERENCE, BATCH_ROWS)
        )
        self._by_code: dict[int, Cell] = {code: self._of_code(code) for code in SERVER_FAILURES}

    def takes(self) -> None:
        """This version answers the present task's request, whatever comes of it."""
        _answering.set(self)

    def answered(self, seconds: float, code: int) -> None:
        """A request was answered with this status so long after it arrived."""
        self._latency.observe(seconds)
        cell = self._by_code.get(code)
        if cell is None:
            cell = self._by_code[code] = self._of_code(code)
        cell.add()

    def _of_code(self, code: int) -> Cell:
        return self._store.cell(REQUESTS, {**self._labels, "code": str(code)})

    def tally(self, slow_s: float) -> Tally:
        """What this process has counted so far; `slow_s` must be one of the latency's bounds."""
        by_code = {code: int(cell.get()) for code, cell in self._by_code.items()}
        failed = by_code.get(500, 0)  # 4xx is the client's doing, 503 the load's
        return Tally(answered=by_code.get(200, 0) + failed, failed=failed, slow=self._latency.over(slow_s))

    def queue_wait(self, seconds: float) -> None:
        """A request waited so long for its inference to begin."""
        self._queue_wait.observe(seconds)

    def inference(self, seconds: float, rows: int) -> None:
        """One call of the model took so long for so many rows."""
        self._inference.observe(seconds)
        self._rows.observe(rows)


class ModelMetrics:
    """The metrics of one model in one process. Called on the event loop's thread only."""

    def __init__(self, folder: Path, model: str, version: int) -> None:
        self._store, self._model = Store(folder), model
        self._in_flight: Cell = self._store.cell(IN_FLIGHT, {"model": model})
        self._variants: dict[tuple[int, Variant], VariantMetrics] = {}
        self._drift: dict[int, DriftWatch] = {}
        self.champion = self.of(version, "champion")  # counted with: requests that no version took

    def of(self, version: int, variant: Variant) -> VariantMetrics:
        """The metrics of that version in that role."""
        key = (version, variant)
        if key not in self._variants:
            self._variants[key] = VariantMetrics(self._store, self._model, version, variant)
        return self._variants[key]

    def begin(self) -> float:
        """A request arrived; hand the result to `end`."""
        self._in_flight.add()
        _answering.set(None)  # a task may answer several requests of one connection
        return time.perf_counter()

    def end(self, began: float, code: int) -> None:
        """The request that began then was answered with this status, by whichever version took it."""
        self._in_flight.add(-1.0)
        (_answering.get() or self.champion).answered(time.perf_counter() - began, code)

    def drift(self, card: ModelCard) -> DriftWatch:
        """The watch over what that version is asked and answers."""
        if card.version not in self._drift:
            self._drift[card.version] = DriftWatch(self._store, card)
        return self._drift[card.version]

    def forget(self, served: Collection[int]) -> None:
        """Only these versions are served from now on: the drift of others is nobody's any more."""
        for version in self._drift.keys() - set(served):
            self._drift.pop(version).clear()

    def refused(self, code: int) -> None:
        """A request was answered with this status before any version was looked for."""
        self._store.cell(REQUESTS, {"model": self._model, "code": str(code)}).add()

    def shed(self, reason: ShedReason) -> None:
        """A request was given up without an inference."""
        self._store.cell(SHED, {"model": self._model, "reason": reason}).add()

    def compared(self, version: int, outcome: Comparison) -> None:
        """The challenger of that version was (or could not be) held against the champion's answer."""
        labels = {"model": self._model, "version": str(version), "outcome": outcome}
        self._store.cell(COMPARISONS, labels).add()


NO_ROUTE = "none"  # of the front: a path that does not exist, or a request that was refused before it was looked at


class FrontMetrics:
    """The metrics of the front, in its process."""

    def __init__(self, folder: Path) -> None:
        self._store: Store = Store(folder)

    def answered(self, route: str, code: int) -> None:
        """A request to this route template was answered with this status."""
        self._store.cell(FRONT_REQUESTS, {"route": route, "code": str(code)}).add()


class SupervisorMetrics:
    """The metrics of the supervisor, in its process."""

    def __init__(self, folder: Path) -> None:
        self._store: Store = Store(folder)

    def happened(self, model: str, version: str, event: LifecycleEvent) -> None:
        """A version of a model was moved to, put on trial, ended or refused."""
        self._store.cell(LIFECYCLE, {"model": model, "version": version, "event": event}).add()
