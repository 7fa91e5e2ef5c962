"""Many streams of requests through one node each, all at once: the twin for large numbers.

Queues are recursions over requests (Lindley, "The theory of queues with a single server", 1952; for several servers
Kiefer and Wolfowitz, 1955), which cannot be vectorised along one stream. They can be across streams: step i handles the
i-th request of every stream in a few array operations. A replica's batch is held open until a request comes too late
for it, so its size is known when its time is needed.

Arrays: M streams, N requests each, R replicas; a replica's state lies at flat index m * R + r.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from designs.twin.node import Array, Node, loop_times

_FULL = 1e6  # added to a full replica's count of requests, so that any with room goes first


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of each request."""

    latency_s: Array  # (M, N) from arrival; NaN where refused
    calls: int  # of the model; 0 where it is part of the loop


def simulate(node: Node, times_s: Array, rng: np.random.Generator) -> Outcome:
    """Streams of arrivals (M, N), ascending along N, each through its own node that begins empty."""
    loops = loop_times(node, times_s.shape, rng)
    queues = _Queues(node, *times_s.shape)
    for step in range(times_s.shape[1]):
        queues.admit(step, times_s[:, step], loops[:, step])
    queues.close(np.flatnonzero(queues.rows > 0))
    return Outcome(latency_s=queues.departure_s + node.delay_s - times_s, calls=queues.calls)


class _Queues:
    """The state of all streams' nodes between two steps."""

    def __init__(self, node: Node, streams: int, requests: int) -> None:
        cells = streams * node.replicas
        self.node = node
        self.departure_s = np.full((streams, requests), np.nan)
        self.calls = 0
        self._first = np.arange(streams) * node.replicas
        self._proxy_free_s = np.full(streams, -np.inf)
        self._loop_free_s = np.full(cells, -np.inf)
        # The last `max_ongoing` requests of each replica: when they leave (inf: not yet known), and which they are.
        self._leaves_s = np.full((cells, node.max_ongoing), -np.inf)
        self._which = np.zeros((cells, node.max_ongoing), dtype=np.int64)
        self._next = np.zeros(cells, dtype=np.int64)
        # The batch that gathers in each replica: its rows (0: none), its start, and when the thread is free.
        self.rows = np.zeros(cells, dtype=np.int64)
        self._starts_s = np.full(cells, np.inf)
        self._thread_free_s = np.full(cells, -np.inf)

    def admit(self, step: int, now_s: Array, loop_s: Array) -> None:
        """One request of every stream, (M,)."""
        node = self.node
        self._proxy_free_s = np.maximum(now_s, self._proxy_free_s) + node.proxy_s
        at_s = self._proxy_free_s
        if node.batch is not None:
            self.close(np.flatnonzero((self.rows > 0) & (self._starts_s < np.repeat(at_s, node.replicas))))
        cell, enters_s = self._chosen(at_s)
        let_in = np.flatnonzero(enters_s - at_s <= node.queue_timeout_s)
        cell, enters_s = cell[let_in], enters_s[let_in]
        decoded_s = np.maximum(enters_s, self._loop_free_s[cell]) + loop_s[let_in]
        self._loop_free_s[cell] = decoded_s
        if node.batch is not None:  # the batch that this request is too late for, before its slots are counted back
            self.close(cell[(self.rows[cell] > 0) & (decoded_s > self._starts_s[cell])])
        slot = self._next[cell]
        self._next[cell] = (slot + 1) % node.max_ongoing
        self._which[cell, slot] = step
        if node.batch is None:
            self._leaves_s[cell, slot] = decoded_s
            self.departure_s[let_in, step] = decoded_s
        else:
            self._leaves_s[cell, slot] = np.inf
            self._gather(cell, decoded_s)

    def _chosen(self, at_s: Array) -> tuple[NDArray[np.int64], Array]:
        """For each stream the replica with the fewest requests (flat index), and when there is room in it."""
        node = self.node
        if node.replicas == 1:
            cell = self._first
            return cell, np.maximum(at_s, self._leaves_s[cell, self._next[cell]])
        ready_s = np.repeat(at_s, node.replicas)
        ongoing = (self._leaves_s > ready_s[:, None]).sum(axis=1)
        room_s = np.maximum(ready_s, self._leaves_s[np.arange(len(ready_s)), self._next])
        order = ongoing + _FULL * (room_s - ready_s) * (room_s > ready_s)
        cell = self._first + order.reshape(-1, node.replicas).argmin(axis=1)
        return cell, room_s[cell]

    def _gather(self, cell: NDArray[np.int64], decoded_s: Array) -> None:
        """Add one row to the batches of these replicas; one that is full starts as soon as the thread is free."""
        batch = self.node.batch
        assert batch is not None
        fresh = self.rows[cell] == 0
        planned_s = np.maximum(self._thread_free_s[cell], decoded_s + batch.max_wait_s)
        self._starts_s[cell] = np.where(fresh, planned_s, self._starts_s[cell])
        self.rows[cell] += 1
        full = self.rows[cell] == batch.max_rows
        if full.any():
            cell, decoded_s = cell[full], decoded_s[full]
            self._starts_s[cell] = np.maximum(self._thread_free_s[cell], decoded_s)
            self.close(cell)

    def close(self, cell: NDArray[np.int64]) -> None:
        """No more rows for the batches of these replicas: their requests' departures are known."""
        if self.node.batch is None or not len(cell):
            return
        rows = self.rows[cell]
        ends_s = self._starts_s[cell] + self.node.batch.duration_s(rows.astype(float))
        back = np.arange(1, rows.max() + 1)
        taken, age = np.nonzero(back[None, :] <= rows[:, None])
        slots = (self._next[cell][taken] - back[age]) % self.node.max_ongoing
        self._leaves_s[cell[taken], slots] = ends_s[taken]
        self.departure_s[cell[taken] // self.node.replicas, self._which[cell[taken], slots]] = ends_s[taken]
        self._thread_free_s[cell] = ends_s
        self.rows[cell] = 0
        self.calls += len(cell)
