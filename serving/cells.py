"""Counts in memory-mapped files: one process's share of the server's metrics, at the cost of an addition.

The files have the format of prometheus-client's multiprocess mode, and prometheus-client merges them
(https://prometheus.github.io/client_python/multiprocess/); a count therefore survives its process, as a counter should.
Its own Counter and Histogram take a lock, ask for the process id and pack bytes at each change, which is most of what
metrics cost a small request. Here a change is one addition to a double in the mapped page. That is safe as long as one
thread of a process writes: the event loop's.
"""

import os
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.utils import floatToGoString

Labels = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric: what it is called, what it counts and how it is told apart."""

    name: str  # without the `_total` that counters end with in the exposition
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()  # upper bounds, ascending; infinity is added
    merge: Literal["livesum", "livemax"] = "livesum"  # of a gauge over the live processes

    @property
    def exposed_name(self) -> str:
        """As it stands in the exposition."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


class Cell:
    """One number of one process."""

    __slots__ = ("_at", "_cells")

    def __init__(self, cells: "memoryview[float]", at: int) -> None:
        self._cells, self._at = cells, at

    def add(self, amount: float = 1.0) -> None:
        self._cells[self._at] += amount

    def set(self, value: float) -> None:
        self._cells[self._at] = value

    def get(self) -> float:
        return float(self._cells[self._at])


class Buckets:
    """A histogram of one process: a count for each bucket and the sum."""

    __slots__ = ("_at", "_bounds", "_cells", "_sum")

    def __init__(self, cells: "memoryview[float]", bounds: tuple[float, ...], at: tuple[int, ...], total: int) -> None:
        self._cells, self._bounds, self._at, self._sum = cells, bounds, at, total

    def observe(self, value: float) -> None:
        """Count one value in the first bucket whose bound is not below it."""
        cells = self._cells
        cells[self._at[bisect_left(self._bounds, value)]] += 1.0
        cells[self._sum] += value

    def over(self, bound: float) -> int:
        """How many values were above this bound, which must be one of the histogram's."""
        return int(sum(self._cells[at] for at in self._at[self._bounds.index(bound) + 1 :]))

    def add(self, counts: Iterable[float], total: float) -> None:
        """Count many values at once: how many fell into each bucket, and their sum."""
        for at, count in zip(self._at, counts, strict=True):
            self._cells[at] += count
        self._cells[self._sum] += total


def retire(folder: Path) -> None:
    """Add what ended processes counted to one file a kind, and drop their gauges.

    So a server that has replaced many replicas answers /metrics as fast as on its first day. One thread of one process
    may do this at a time. A file is taken away before it is added: what a crash in between loses is not counted twice.
    """
    for file in folder.glob("*_*.db"):
        kind, _, pid = file.stem.rpartition("_")
        if not pid.isdigit() or Path(f"/proc/{pid}").exists():
            continue
        if kind.startswith("gauge"):
            file.unlink()
            continue
        taken = file.rename(file.with_suffix(".taken"))
        total = MmapedDict(str(folder / f"{kind}_ended.db"))  # type: ignore[no-untyped-call]
        for key, value, _, _ in MmapedDict.read_all_values_from_file(taken):  # type: ignore[no-untyped-call]
            total.write_value(key, total.read_value(key)[0] + value, 0.0)  # type: ignore[no-untyped-call]
        total.close()  # type: ignore[no-untyped-call]
        taken.unlink()


class Store:
    """The files of this process under one folder. A process makes one for a folder, not two: each would write over
    the other's new cells."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files: dict[str, MmapedDict] = {}

    def cell(self, metric: Metric, labels: Labels) -> Cell:
        """The number of a counter or gauge with these labels; an unset label is empty."""
        at = self._place(metric, metric.exposed_name, labels)
        return Cell(self._cells(metric), at)

    def buckets(self, metric: Metric, labels: Labels, bounds: tuple[float, ...] = ()) -> Buckets:
        """The histogram with these labels; `bounds` where they differ from the metric's own."""
        bounds = bounds or metric.buckets
        total = self._place(metric, f"{metric.name}_sum", labels)
        at = tuple(
            self._place(metric, f"{metric.name}_bucket", {**labels, "le": floatToGoString(bound)})  # type: ignore[no-untyped-call]
            for bound in (*bounds, float("inf"))
        )
        return Buckets(self._cells(metric), bounds, at, total)

    def _place(self, metric: Metric, sample: str, labels: Labels) -> int:
        file = self._file(metric)
        names = (*metric.labels, "le") if "le" in labels else metric.labels
        key = mmap_key(metric.name, sample, list(names), [labels.get(name, "") for name in names], metric.help)
        file.read_value(key)  # type: ignore[no-untyped-call]  # makes the cell when it is new
        return int(file._positions[key]) // 8  # entries are aligned to eight bytes

    def _cells(self, metric: Metric) -> "memoryview[float]":
        """The page as doubles. A file that grows is mapped anew; the earlier view stays a view of the same file."""
        return memoryview(self._file(metric)._m).cast("d")

    def _file(self, metric: Metric) -> MmapedDict:
        kind = f"gauge_{metric.merge}" if metric.kind == "gauge" else metric.kind
        if kind not in self._files:
            self._files[kind] = MmapedDict(str(self._folder / f"{kind}_{os.getpid()}.db"))  # type: ignore[no-untyped-call]
        return self._files[kind]
