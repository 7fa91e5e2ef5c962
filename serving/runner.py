"""Where and how one model version computes: on the event loop when it is quick, else in its thread and in batches.

The thread takes what has gathered while it was busy, so batches grow with the load and an idle server answers a lone
request at once. Waiting for company (`max_wait_s`) is for models whose batches are worth more than the wait.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from serving.protocol.patience import FOREVER, Patience
from serving.protocol.tensors import Array
from serving.protocol.v2 import InferRequest
from serving.recipes import Batching

Arrays = dict[str, Array]


class Predicting(Protocol):
    """What a runner needs of a predictor."""

    byte_time_s: float

    def predict(self, inputs: Arrays, outputs: tuple[str, ...]) -> Arrays: ...


class Timing(Protocol):
    """What a runner needs of the metrics."""

    def queue_wait(self, seconds: float) -> None: ...
    def inference(self, seconds: float, rows: int) -> None: ...


@dataclass(slots=True)
class _Waiting:
    request: InferRequest
    patience: Patience
    answer: "asyncio.Future[Arrays]"
    since: float
    form: tuple[tuple[int, ...], ...]  # the inputs' shapes without the batch: only equal ones can share a call


class Runner:
    """Runs one predictor. Used on one event loop only."""

    def __init__(self, predictor: Predicting, metrics: Timing, batching: Batching) -> None:
        self._predictor, self._metrics, self._batching = predictor, metrics, batching
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        self._queue: list[_Waiting] = []
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, request: InferRequest, patience: Patience = FOREVER) -> Arrays:
        """The requested outputs. Raises RequestError (500) when the model fails on this request, and what patience
        raises when it has run out before the model is asked."""
        expected_s = request.input_bytes * self._predictor.byte_time_s
        if not self._queue and not self._busy and expected_s <= self._batching.offload_s:
            patience.check()
            began = time.perf_counter()
            outputs = self._predictor.predict(request.inputs, request.outputs)
            self._metrics.queue_wait(0.0)
            self._metrics.inference(time.perf_counter() - began, request.rows)
            return outputs
        loop = asyncio.get_running_loop()
        form = tuple(array.shape[1:] for array in request.inputs.values())
        waiting = _Waiting(request, patience, loop.create_future(), time.perf_counter(), form)
        self._queue.append(waiting)
        self._start_soon()
        return await waiting.answer

    def close(self) -> None:
        """Let go of the thread once what it does is done."""
        self._pool.shutdown(wait=False)

    def _start_soon(self) -> None:
        """Start a batch now if there is reason to, else when the first request has waited long enough."""
        if self._busy or not self._queue:
            return
        loop = asyncio.get_running_loop()
        left_s = self._queue[0].since + self._batching.max_wait_s - time.perf_counter()
        if left_s <= 0 or sum(waiting.request.rows for waiting in self._queue) >= self._batching.max_rows:
            self._start(loop)
        elif self._timer is None:
            self._timer = loop.call_later(left_s, self._start, loop)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch = self._next_batch()
        if not batch:
            return
        self._busy = True
        began = time.perf_counter()
        for waiting in batch:
            self._metrics.queue_wait(began - waiting.since)
        running = loop.run_in_executor(self._pool, _predict, self._predictor, batch, self._batching)
        running.add_done_callback(lambda done: self._finish(batch, began, done))

    def _next_batch(self) -> list[_Waiting]:
        """The oldest request and those behind it that fit into its call; requests nobody waits for are dropped."""
        self._queue = [waiting for waiting in self._queue if _is_awaited(waiting)]
        batch: list[_Waiting] = []
        rest: list[_Waiting] = []
        rows = 0
        for waiting in self._queue:
            fits = rows + waiting.request.rows <= self._batching.max_rows and waiting.form == self._queue[0].form
            if not batch or fits:
                batch.append(waiting)
                rows += waiting.request.rows
            else:
                rest.append(waiting)
        self._queue = rest
        return batch

    def _finish(self, batch: list[_Waiting], began: float, done: "asyncio.Future[list[Arrays | Exception]]") -> None:
        self._busy = False
        self._metrics.inference(time.perf_counter() - began, sum(waiting.request.rows for waiting in batch))
        for waiting, outcome in zip(batch, done.result(), strict=True):
            if waiting.answer.done():
                continue  # cancelled meanwhile
            if isinstance(outcome, Exception):
                waiting.answer.set_exception(outcome)
            else:
                waiting.answer.set_result(outcome)
        self._start_soon()


def _is_awaited(waiting: _Waiting) -> bool:
    """False for a request that was cancelled or whose patience is over; the latter is told so."""
    if waiting.answer.done():
        return False
    try:
        waiting.patience.check()
    except Exception as over:
        waiting.answer.set_exception(over)
        return False
    return True


def _predict(predictor: Predicting, batch: list[_Waiting], batching: Batching) -> list[Arrays | Exception]:
    """One call for the batch; when it fails, one for each request, so that a bad one fails alone. In the thread."""
    requests = [waiting.request for waiting in batch]
    try:
        return list(_together(predictor, requests, batching))
    except Exception as error:
        return [error] if len(requests) == 1 else [_predict(predictor, [waiting], batching)[0] for waiting in batch]


def _together(predictor: Predicting, requests: list[InferRequest], batching: Batching) -> list[Arrays]:
    outputs = tuple(dict.fromkeys(name for request in requests for name in request.outputs))
    rows = sum(request.rows for request in requests)
    padding = batching.size(rows) - rows
    if len(requests) == 1 and padding <= 0:
        return [predictor.predict(requests[0].inputs, requests[0].outputs)]
    inputs = {name: _stacked([request.inputs[name] for request in requests], padding) for name in requests[0].inputs}
    values = predictor.predict(inputs, outputs)
    answers, start = [], 0
    for request in requests:
        stop = start + request.rows
        answers.append({name: values[name][start:stop] for name in request.outputs})
        start = stop
    return answers


def _stacked(arrays: list[Array], padding: int) -> Array:
    """All rows below each other; the last is repeated to fill up."""
    if padding > 0:
        arrays = [*arrays, np.repeat(arrays[-1][-1:], padding, axis=0)]
    return np.concatenate(arrays)
