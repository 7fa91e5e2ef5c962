"""A running training's progress for Prometheus: the last record of the loop, as gauges."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric

from drillyard.core.metric import ExportedMetric

if TYPE_CHECKING:  # it imports torch, and who only wants the names (dashboards, documentation) waits for that
    from pipelines.loop import Record

_LABELS = ("system", "recipe")
PROGRESS = ExportedMetric(
    name="drillyard_training_progress_ratio", kind="gauge", labels=_LABELS, help="Share of all steps that is done"
)
EPOCH = ExportedMetric(name="drillyard_training_epoch", kind="gauge", labels=_LABELS, help="Present epoch, from 1")
LOSS = ExportedMetric(
    name="drillyard_training_loss", kind="gauge", labels=_LABELS, help="Loss on the training slice, of the last steps"
)
VALIDATION_LOSS = ExportedMetric(
    name="drillyard_training_validation_loss",
    kind="gauge",
    labels=_LABELS,
    help="Loss on the validation slice at the end of the last epoch; absent before",
)
LEARNING_RATE = ExportedMetric(
    name="drillyard_training_learning_rate", kind="gauge", labels=_LABELS, help="Learning rate of the last step"
)
SAMPLES = ExportedMetric(
    name="drillyard_training_samples_per_second", kind="gauge", labels=_LABELS, help="Rows a second, over all workers"
)
ELAPSED = ExportedMetric(
    name="drillyard_training_elapsed_seconds", kind="gauge", labels=_LABELS, help="Time in the loop, over restarts"
)
ALL = (PROGRESS, EPOCH, LOSS, VALIDATION_LOSS, LEARNING_RATE, SAMPLES, ELAPSED)


class Exporter:
    """Collects the last record of one training run; before the first there is nothing to tell."""

    def __init__(self, system: str, recipe: str) -> None:
        self._labels = [system, recipe]
        self._last: Record | None = None
        self._validation_loss: float | None = None  # told at the end of an epoch only, and kept until the next

    def follow(self, record: "Record") -> None:
        """The next record."""
        self._last = record
        if record.validation_loss is not None:
            self._validation_loss = record.validation_loss

    def collect(self) -> Iterable[Metric]:
        """Called at each scrape, in a thread of its own; it reads references."""
        last = self._last
        if last is None:
            return
        values = {
            PROGRESS: last.step / last.total_steps,
            EPOCH: last.epoch,
            LOSS: last.loss,
            VALIDATION_LOSS: self._validation_loss,
            LEARNING_RATE: last.learning_rate,
            SAMPLES: last.samples_per_s,
            ELAPSED: last.elapsed_s,
        }
        for metric, value in values.items():
            if value is not None:
                family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
                family.add_metric(self._labels, value)
                yield family
