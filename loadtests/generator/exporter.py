"""A running drill's figures for Prometheus: what the generator sees, beside the server's own.

The generator itself does no more than its line of progress a second; its parent answers the scrapes.
"""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from drillyard.core.metric import ExportedMetric
from loadtests.generator.progress import LATENCY_BOUNDS_S, Progress

REQUESTS = ExportedMetric(
    name="drillyard_drill_requests_total",
    kind="counter",
    help="Requests of the drill that ended: ok, slow (a right answer above the promised latency) or error",
    labels=("drill", "model", "outcome"),
)
SENT = ExportedMetric(
    name="drillyard_drill_sent_total",
    kind="counter",
    help="Requests of the drill that were sent, or dropped because too many were unanswered",
    labels=("drill", "model"),
)
LATENCY = ExportedMetric(
    name="drillyard_drill_latency_seconds",
    kind="histogram",
    help="Latency from the intended send time, of right answers and timeouts",
    labels=("drill", "model"),
)
BUDGET_LEFT = ExportedMetric(
    name="drillyard_drill_budget_left_ratio",
    kind="gauge",
    help="Share of the whole drill's error budget that is left, below 0 when overdrawn; absent without a budget",
    labels=("drill", "model"),
)
ELAPSED = ExportedMetric(
    name="drillyard_drill_elapsed_seconds",
    kind="gauge",
    help="Time since the drill's first intended send; absent while it warms up",
    labels=("drill", "model"),
)
ALL = (REQUESTS, SENT, LATENCY, BUDGET_LEFT, ELAPSED)


class Exporter:
    """Collects the last line of progress of one drill; warm-up is not exported."""

    def __init__(self, drill: str, model: str) -> None:
        self._labels = [drill, model]
        self._last: Progress | None = None

    def follow(self, progress: Progress) -> None:
        """The next line of progress."""
        if progress.phase == "drill":
            self._last = progress

    def collect(self) -> Iterable[Metric]:
        """Called at each scrape, in a thread of its own; it reads one reference."""
        last = self._last
        if last is None:
            return
        outcomes = {"ok": last.ok - last.slow, "slow": last.slow, "error": last.errors}
        requests = CounterMetricFamily(REQUESTS.name, REQUESTS.help, labels=REQUESTS.labels)
        for outcome, count in outcomes.items():
            requests.add_metric([*self._labels, outcome], count)
        yield requests
        yield self._one(CounterMetricFamily, SENT, last.sent)
        latency = HistogramMetricFamily(LATENCY.name, LATENCY.help, labels=LATENCY.labels)
        bounds = [*(str(bound) for bound in LATENCY_BOUNDS_S), "+Inf"]
        buckets = list(zip(bounds, last.latency_counts, strict=True))
        latency.add_metric(self._labels, buckets=buckets, sum_value=last.latency_sum_s)
        yield latency
        if last.budget_left is not None:
            yield self._one(GaugeMetricFamily, BUDGET_LEFT, last.budget_left)
        yield self._one(GaugeMetricFamily, ELAPSED, last.t_s)

    def _one(
        self, family: type[CounterMetricFamily] | type[GaugeMetricFamily], metric: ExportedMetric, value: float
    ) -> Metric:
        found = family(metric.name, metric.help, labels=metric.labels)
        found.add_metric(self._labels, value)
        return found
