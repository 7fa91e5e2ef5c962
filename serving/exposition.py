"""What /metrics answers: the files of all processes, merged, and the drift indices computed from their sums."""

import fcntl
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.multiprocess import MultiProcessCollector

from serving import haproxy_stats
from serving.catalogue import DRIFT_BIN, DRIFT_EXPECTED, DRIFT_ROWS, INPUT_DRIFT, SCORE_DRIFT
from serving.cells import retire
from serving.drift import stability_index

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus' text format, as `exposition` writes it
MIN_DRIFT_ROWS = 500  # with fewer, chance alone makes an index of more than (bins - 1) / 500 = 0.018

_one_at_a_time = Lock()  # of this process' scrapes
_LOCK_FILE = "lock"  # of all processes' that see the folder
_Bin = tuple[str, ...]  # kind, model, version, feature, bin: the labels of DRIFT_BIN


def merged(folder: Path) -> list[Family]:
    """Every metric with its samples, over all processes that ever wrote under `folder`; gauges over the live ones."""
    folder.mkdir(parents=True, exist_ok=True)
    # Scrapes may overlap; one that meets a file half added would count it wrongly.
    with _one_at_a_time, (folder / _LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        retire(folder)
        found = MultiProcessCollector(None, path=str(folder)).collect()  # type: ignore[no-untyped-call]
    inner: dict[str, dict[_Bin, float]] = {DRIFT_BIN.name: {}, DRIFT_EXPECTED.name: {}}
    families = []
    for family in found:
        if (bins := inner.get(family.name)) is None:
            families.append(family)
            continue
        for sample in family.samples:
            bins[tuple(sample.labels[name] for name in DRIFT_BIN.labels)] = sample.value
    return [*families, *_drift(inner[DRIFT_BIN.name], inner[DRIFT_EXPECTED.name])]


def exposition(folder: Path, admin_socket: Path | None = None) -> bytes:
    """The Prometheus text format (https://prometheus.io/docs/instrumenting/exposition_formats/).

    With HAProxy's own counts, where its admin socket is at hand.
    """
    registry = CollectorRegistry()
    registry.register(_Merged(folder, admin_socket))
    return bytes(generate_latest(registry))


class _Merged:
    def __init__(self, folder: Path, admin_socket: Path | None) -> None:
        self._folder, self._admin_socket = folder, admin_socket

    def collect(self) -> list[Family]:
        proxy = haproxy_stats.families(self._admin_socket) if self._admin_socket is not None else []
        return [*merged(self._folder), *proxy]


def _drift(counts: dict[_Bin, float], expected: dict[_Bin, float]) -> Iterator[Family]:
    """The indices of every feature that enough rows were seen of, and how many rows were."""
    families = {
        kind: GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
        for kind, metric in (("input", INPUT_DRIFT), ("score", SCORE_DRIFT))
    }
    rows: dict[tuple[str, str], float] = {}
    by_feature: dict[_Bin, list[_Bin]] = defaultdict(list)
    for key in sorted(counts):
        by_feature[key[:-1]].append(key)
    for (kind, model, version, feature), keys in by_feature.items():
        seen = [counts[key] for key in keys]
        rows[model, version] = max(rows.get((model, version), 0.0), sum(seen))
        if sum(seen) >= MIN_DRIFT_ROWS:
            index = stability_index([expected[key] for key in keys], seen)
            families[kind].add_metric([model, version, feature], index)
    total = GaugeMetricFamily(DRIFT_ROWS.name, DRIFT_ROWS.help, labels=DRIFT_ROWS.labels)
    for labels, value in rows.items():
        if value > 0:  # else of a version that is not served any more
            total.add_metric(labels, value)
    yield from (family for family in (*families.values(), total) if family.samples)
