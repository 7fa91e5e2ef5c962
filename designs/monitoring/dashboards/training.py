"""A training run as it goes; MLflow keeps the whole of it, and Ray brings dashboards of its own metrics."""

from designs.monitoring.dashboards.parts import query
from designs.monitoring.grafana import Dashboard, Panel, Query, Row, Unit, Variable
from drillyard.core.metric import ExportedMetric
from pipelines import exporter as exported


def training() -> Dashboard:
    """A run of `drillyard train --metrics-port`."""
    return Dashboard(
        uid="drillyard-training",
        title="drillyard: training",
        says="A run of `drillyard train --metrics-port`; MLflow keeps the whole of it.",
        variables=(Variable(name="system", metric=exported.PROGRESS.name, label="system"),),
        refresh="5s",
        rows=(
            Row(
                title="The run",
                panels=(
                    _number("Done", "Share of all steps.", exported.PROGRESS, "percentunit"),
                    _number("Epoch", "From 1.", exported.EPOCH),
                    _number("Time in the loop", "Over restarts.", exported.ELAPSED, "s"),
                    _number("Rows a second", "Over all workers.", exported.SAMPLES),
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


def _number(title: str, says: str, metric: ExportedMetric, unit: Unit = "short") -> Panel:
    return Panel(title=title, says=says, queries=(_of(metric, ""),), unit=unit, kind="stat", width=6)
