"""Every metric's name, once, and how the processes of a node share them.

prometheus-client's multiprocess mode: each process counts in its own memory-mapped files under one folder, and whoever
serves /metrics merges them (https://prometheus.github.io/client_python/multiprocess/). A count therefore survives its
process, as a Prometheus counter should.
"""

import os
import time
from pathlib import Path

REQUESTS = "drillyard_requests"
LATENCY = "drillyard_request_duration_seconds"
IN_FLIGHT = "drillyard_requests_in_flight"

# Around the SLOs' bounds (a few ms to a few hundred): a quantile is only as exact as its bucket is narrow.
BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)

_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class ModelMetrics:
    """The metrics of one model version in one process. Constructing it decides the folder for the process."""

    def __init__(self, folder: Path, model: str, version: int) -> None:
        # prometheus-client reads this at import and chooses its storage for good.
        os.environ[_FOLDER_VARIABLE] = str(folder)
        folder.mkdir(parents=True, exist_ok=True)
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        registry = CollectorRegistry()  # never scraped: the files are
        labels = ("model", "version")
        self._requests: Counter = Counter(REQUESTS, "Requests answered.", (*labels, "code"), registry=registry)
        latency: Histogram = Histogram(
            LATENCY, "Time from request to answer in the replica.", labels, buckets=BUCKETS_S, registry=registry
        )
        in_flight: Gauge = Gauge(
            IN_FLIGHT, "Requests being answered.", labels, multiprocess_mode="livesum", registry=registry
        )
        self._labels = (model, str(version))
        self._latency = latency.labels(*self._labels)
        self._in_flight = in_flight.labels(*self._labels)
        self._by_code: dict[int, Counter] = {}  # looking a child up by its labels costs more than counting

    def begin(self) -> float:
        """A request arrived; hand the result to `end`."""
        self._in_flight.inc()
        return time.perf_counter()

    def end(self, began: float, code: int) -> None:
        """The request that began then was answered with this status code."""
        self._in_flight.dec()
        self._latency.observe(time.perf_counter() - began)
        counter = self._by_code.get(code)
        if counter is None:
            counter = self._by_code[code] = self._requests.labels(*self._labels, str(code))
        counter.inc()


def exposition(folder: Path) -> bytes:
    """All processes' metrics merged, in the Prometheus text format."""
    os.environ[_FOLDER_VARIABLE] = str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

    for file in folder.glob("gauge_live*_*.db"):  # a killed process has nothing in flight any more
        pid = int(file.stem.rpartition("_")[2])
        if not Path(f"/proc/{pid}").exists():
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    return bytes(generate_latest(registry))
