"""What /metrics answers: the files of all processes, merged."""

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead


def merged(folder: Path) -> list[Metric]:
    """Every metric with its samples, over all processes that ever wrote under `folder`; gauges over the live ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("gauge_live*_*.db"):  # a killed process has nothing in flight any more
        pid = int(file.stem.rpartition("_")[2])
        if not Path(f"/proc/{pid}").exists():
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
    return list(MultiProcessCollector(None, path=str(folder)).collect())  # type: ignore[no-untyped-call]


class _Merged:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> list[Metric]:
        return merged(self._folder)


def exposition(folder: Path) -> bytes:
    """The Prometheus text format (https://prometheus.io/docs/instrumenting/exposition_formats/)."""
    registry = CollectorRegistry()
    registry.register(_Merged(folder))
    return bytes(generate_latest(registry))
