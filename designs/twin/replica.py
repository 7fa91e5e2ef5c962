"""A replica in SimPy: an event loop, and for slower models a thread that takes what gathered (serving/runner.py)."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

from designs.twin.node import Batch

Steps = Generator[simpy.Event, Any, Any]


@dataclass(eq=False, kw_only=True)
class Job:
    """A request in a replica."""

    loop_s: float
    answered: simpy.Event  # with True, or with False when the replica died
    abandoned: bool = False  # the proxy waits for it no more
    decoded_s: float = 0.0


class Replica:
    """Works on what it is given until it dies; frozen, it keeps everything and does nothing."""

    def __init__(self, env: simpy.Environment, batch: Batch | None) -> None:
        self.ongoing: list[Job] = []
        self.promised = 0  # places given to requests that have not yet taken them
        self.routable = True  # the proxy gives it requests
        self.calls = 0  # of the model
        self._env, self._batch = env, batch
        self._alive = True
        self._inbox = simpy.Store(env)
        self._decoded: list[Job] = []
        self._arrival: simpy.Event | None = None  # what an idle model thread waits for
        self._thaw: simpy.Event | None = None  # set while frozen
        env.process(self._run_loop())
        if batch is not None:
            env.process(self._run_thread(batch))

    @property
    def places_taken(self) -> int:
        return len(self.ongoing) + self.promised

    def take(self, job: Job) -> None:
        self.ongoing.append(job)
        self._inbox.put(job)

    def die(self) -> None:
        """Every caller's connection breaks."""
        self._alive = self.routable = False
        for job in self.ongoing:
            if not job.answered.triggered:
                job.answered.succeed(False)

    def freeze(self) -> None:
        self._thaw = self._env.event()

    def thaw(self) -> None:
        assert self._thaw is not None
        self._thaw.succeed()
        self._thaw = None

    @property
    def frozen(self) -> bool:
        return self._thaw is not None

    def _run_loop(self) -> Steps:
        while True:
            job = yield self._inbox.get()
            if job.abandoned:
                continue
            yield self._env.timeout(job.loop_s)
            yield from self._while_frozen()
            if self._batch is None:
                self._answer(job)
                continue
            job.decoded_s = self._env.now
            self._decoded.append(job)
            if self._arrival is not None:
                self._arrival.succeed()
                self._arrival = None

    def _run_thread(self, batch: Batch) -> Steps:
        while True:
            while not self._decoded:
                yield self._next_arrival()
            until_s = self._decoded[0].decoded_s + batch.max_wait_s
            while len(self._decoded) < batch.max_rows and self._env.now < until_s:
                yield self._next_arrival() | self._env.timeout(until_s - self._env.now)
            yield from self._while_frozen()
            rows, self._decoded = self._decoded[: batch.max_rows], self._decoded[batch.max_rows :]
            self.calls += 1
            yield self._env.timeout(batch.call_s + batch.row_s * len(rows))
            yield from self._while_frozen()
            for job in rows:
                self._answer(job)

    def _next_arrival(self) -> simpy.Event:
        if self._arrival is None:
            self._arrival = self._env.event()
        return self._arrival

    def _while_frozen(self) -> Steps:
        while self._thaw is not None:
            yield self._thaw

    def _answer(self, job: Job) -> None:
        if self._alive and not job.answered.triggered:
            job.answered.succeed(True)
