"""Every metric's name, once, and the handles through which a replica counts. Merging is exposition.py's."""

import time
from contextvars import ContextVar
from pathlib import Path
from typing import Literal

from serving.cells import Cell, Metric, Store

Variant = Literal["champion", "challenger", "shadow"]
ShedReason = Literal["queue full", "deadline", "client gone"]
Comparison = Literal["agree", "disagree", "dropped", "failed"]

_BY_VARIANT = ("model", "version", "variant")

# Around the SLOs' bounds (10 to 100 ms): a quantile is only as exact as its bucket is narrow.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)
# A call takes from ten microseconds (one row of a small model) to seconds (thousands of rows of a large one).
_CALL_SECONDS = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, *_SECONDS[1:])
_ROWS = tuple(float(2**power) for power in range(13))

REQUESTS = Metric(
    name="drillyard_requests",
    kind="counter",
    labels=(*_BY_VARIANT, "code"),
    help="Requests that reached a model's replica, by the status they were answered with (499: the client had gone).",
)
LATENCY = Metric(
    name="drillyard_request_duration_seconds",
    kind="histogram",
    labels=_BY_VARIANT,
    buckets=_SECONDS,
    help="Time from a request's arrival in the replica to its answer.",
)
QUEUE_WAIT = Metric(
    name="drillyard_queue_wait_seconds",
    kind="histogram",
    labels=_BY_VARIANT,
    buckets=_SECONDS,
    help="Time a decoded request waited for its inference to begin.",
)
INFERENCE = Metric(
    name="drillyard_inference_duration_seconds",
    kind="histogram",
    labels=_BY_VARIANT,
    buckets=_CALL_SECONDS,
    help="Time of one call of the model.",
)
BATCH_ROWS = Metric(
    name="drillyard_batch_rows",
    kind="histogram",
    labels=_BY_VARIANT,
    buckets=_ROWS,
    help="Rows of one call of the model.",
)
IN_FLIGHT = Metric(
    name="drillyard_requests_in_flight",
    kind="gauge",
    labels=("model",),
    help="Requests that a replica has begun and not yet answered.",
)
SHED = Metric(
    name="drillyard_requests_shed",
    kind="counter",
    labels=("model", "reason"),
    help="Requests given up without an inference, by reason; each is also in drillyard_requests_total.",
)
COMPARISONS = Metric(
    name="drillyard_comparisons",
    kind="counter",
    labels=("model", "version", "outcome"),
    help="Answers of the challenger `version` held against the champion's, by outcome.",
)
FRONT_REQUESTS = Metric(
    name="drillyard_front_requests",
    kind="counter",
    labels=("route", "code"),
    help="Requests to the routes of no single model; route `none` is a path that does not exist.",
)

ALL = (REQUESTS, LATENCY, QUEUE_WAIT, INFERENCE, BATCH_ROWS, IN_FLIGHT, SHED, COMPARISONS, FRONT_REQUESTS)


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
        self._by_code: dict[int, Cell] = {}

    def takes(self) -> None:
        """This version answers the present task's request, whatever comes of it."""
        _answering.set(self)

    def answered(self, seconds: float, code: int) -> None:
        """A request was answered with this status so long after it arrived."""
        self._latency.observe(seconds)
        cell = self._by_code.get(code)
        if cell is None:
            cell = self._by_code[code] = self._store.cell(REQUESTS, {**self._labels, "code": str(code)})
        cell.add()

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

    def shed(self, reason: ShedReason) -> None:
        """A request was given up without an inference."""
        self._store.cell(SHED, {"model": self._model, "reason": reason}).add()

    def compared(self, version: int, outcome: Comparison) -> None:
        """The challenger of that version was (or could not be) held against the champion's answer."""
        labels = {"model": self._model, "version": str(version), "outcome": outcome}
        self._store.cell(COMPARISONS, labels).add()


class FrontMetrics:
    """The metrics of the front, in its process."""

    def __init__(self, folder: Path) -> None:
        self._store: Store = Store(folder)

    def answered(self, route: str, code: int) -> None:
        """A request to this route template was answered with this status."""
        self._store.cell(FRONT_REQUESTS, {"route": route, "code": str(code)}).add()
