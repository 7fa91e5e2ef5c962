"""What Prometheus would find in the scrapes of a server, a drill and a training: from the exporters' own output."""

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from loadtests.generator import exporter as drill
from loadtests.generator.progress import LATENCY_BOUNDS_S, Progress
from pipelines import exporter as training
from pipelines.loop import Record
from serving import catalogue, haproxy_stats
from serving.cells import Store
from serving.exposition import MIN_DRIFT_ROWS, exposition

SCRAPED = {"job", "instance"}  # labels that Prometheus adds
Exposed = dict[str, set[str]]  # labels by name


def everything(folder: Path) -> Exposed:
    """Each sample's name and the labels it is told apart by; nothing is taken from a list of names."""
    texts = [_server(folder), _of(_Proxy()), _of(_drill()), _of(_training())]
    found: Exposed = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels, SCRAPED)
    return found


def _server(folder: Path) -> str:
    """Every metric that is counted, with every label, and drift of one feature and of the score."""
    store = Store(folder)
    for metric in catalogue.COUNTED:
        labels = dict.fromkeys(metric.labels, "x")
        if metric.kind == "histogram":
            store.buckets(metric, labels, metric.buckets or (0.5,)).observe(1.0)
        else:
            store.cell(metric, labels).add()
    for kind in ("input", "score"):
        labels = {"kind": kind, "model": "x", "version": "x", "feature": "x", "bin": "00"}
        store.cell(catalogue.DRIFT_BIN, labels).set(MIN_DRIFT_ROWS)
        store.cell(catalogue.DRIFT_EXPECTED, labels).set(1.0)
    return exposition(folder).decode()


class _Proxy:
    """HAProxy's own counts, from lines as it tells them."""

    def collect(self) -> object:
        columns = [*(f"hrsp_{each}" for each in haproxy_stats.CLASSES), "wretr", "econ", "qcur"]
        numbers = dict.fromkeys(columns, "1")
        front = {"pxname": haproxy_stats.FRONTENDS[0], "svname": "FRONTEND", "mode": "http", **numbers}
        back = {"pxname": "http-x", "svname": "BACKEND", "mode": "http", **numbers}
        return haproxy_stats._families([front, back])


def _of(collector: object) -> str:
    registry = CollectorRegistry()
    registry.register(collector)  # type: ignore[arg-type]
    return generate_latest(registry).decode()


def _drill() -> drill.Exporter:
    exporter = drill.Exporter("x", "x")
    exporter.follow(
        Progress(
            phase="drill",
            t_s=1,
            duration_s=1,
            sent=1,
            ok=1,
            errors=0,
            slow=0,
            rate_rps=1,
            p99_ms=1,
            latency_counts=(1,) * (len(LATENCY_BOUNDS_S) + 1),
            latency_sum_s=1,
            budget_left=1,
        )
    )
    return exporter


def _training() -> training.Exporter:
    exporter = training.Exporter("x", "x")
    exporter.follow(
        Record(
            step=1,
            total_steps=2,
            epoch=1,
            epochs=2,
            loss=1.0,
            learning_rate=0.1,
            samples_per_s=1.0,
            elapsed_s=1.0,
            validation_loss=1.0,
        )
    )
    return exporter
