"""A training run as it goes; MLflow keeps the whole of it, and Ray brings dashboards of its own metrics."""

from designs.monitoring.dashboards.parts import number, query
from designs.monitoring.grafana import Dashboard, Panel, Query, Row, Variable
from drillyard.core.metric import ExportedMetric
from pipelines import exporter as exported


def training() -> Dashboard:
    """A run of `drillyard train --metrics-port`."""
    return Dashboard(
        uid="drillyard-training",
        title="drillyard: training",
        says="A run of `drillyard train --metrics-port`; MLflow keeps the whole of it.",
        variables=(Variable(metric=exported.PROGRESS.name, label="system"),),
        refresh="5s",
        rows=(
            Row(
                title="The run",
                panels=(
                    number("Done", "Share of all steps.", _of(exported.PROGRESS, ""), "percentunit"),
                    number("Epoch", "From 1.", _of(exported.EPOCH, "")),
                    number("Time in the loop", "Over restarts.", _of(exported.ELAPSED, ""), "s"),
                    number("Rows a second", "Over all workers.", _of(exported.SAMPLES, "")),
                    Panel(
                        title="Loss",
                        says="On the training slice, and on validation at the end of an epoch.",
                        queries=(_of(exported.LOSS, "training"), _of(exported.VALIDATION_LOSS, "validation")),
                        least=None,
                    ),
                    Panel(title="Learning rate", says="Of the last step.", queries=(_of(exported.LEARNING_RATE, ""),)),
                    Panel(title="Speed", says="Rows a second over all workers.", queries=(_of(exported.SAMPLES, ""),)),
                ),
            ),
        ),
    )


def _of(metric: ExportedMetric, word: str) -> Query:
    return query(f'{metric.name}{{system=~"$system"}}', f"{{{{system}}}} {{{{recipe}}}} {word}".strip())
