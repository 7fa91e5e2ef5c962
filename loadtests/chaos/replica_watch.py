"""When the number of a model's replicas changed during a drill."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

from loadtests.chaos.target import Target
from loadtests.generator.progress import Progress

_EVERY_S = 0.25


@dataclass
class ReplicaWatch:
    """Seconds since the start of the load, and how many processes there were from then on."""

    changes: list[tuple[float, int]] = field(default_factory=list)
    _begun: Event = field(default_factory=Event)
    _ended: Event = field(default_factory=Event)

    def follow(self, progress: Progress) -> None:
        """To be called with the generator's lines: the load begins with the first of the drill."""
        if progress.phase == "drill":
            self._begun.set()

    def first_s(self, count: int) -> float | None:
        """When there were so many for the first time."""
        return next((at_s for at_s, found in self.changes if found >= count), None)

    def _run(self, target: Target) -> None:
        while not self._begun.wait(_EVERY_S):
            if self._ended.is_set():
                return
        started = time.monotonic()
        while not self._ended.wait(_EVERY_S):
            count = len(target.replicas())
            if not self.changes or self.changes[-1][1] != count:
                self.changes.append((round(time.monotonic() - started, 1), count))


@contextmanager
def watching(target: Target) -> Iterator[ReplicaWatch]:
    """Looks until the block is left."""
    watch = ReplicaWatch()
    thread = Thread(target=watch._run, args=(target,), name="replicas")
    thread.start()
    try:
        yield watch
    finally:
        watch._ended.set()
        thread.join()
