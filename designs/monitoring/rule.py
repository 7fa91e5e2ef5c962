"""Prometheus rules as data, and the file that Prometheus reads.

https://prometheus.io/docs/prometheus/2.42/configuration/recording_rules/ has its fields.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from designs.monitoring.promql import duration
from drillyard.core.burn import Severity
from drillyard.core.contract import Frozen


class Recording(Frozen):
    """A series that Prometheus computes and keeps."""

    record: str
    expr: str
    labels: dict[str, str]


class Alert(Frozen):
    """A condition on which somebody is told."""

    alert: str
    expr: str
    severity: Severity
    summary: str
    description: str
    for_s: int = Field(default=0, description="how long it must hold before somebody is told")
    labels: dict[str, str] = Field(default_factory=dict, description="beside those of the expression's series")


class Group(Frozen):
    """Rules that are computed together, in their order."""

    name: str
    rules: tuple[Recording | Alert, ...]
    every_s: int | None = None  # None: as often as Prometheus computes rules


def document(groups: Sequence[Group]) -> dict[str, Any]:
    """The content of a rule file; also the `spec` of a PrometheusRule."""
    return {"groups": list(map(_group, groups))}


def _group(group: Group) -> dict[str, Any]:
    interval = {} if group.every_s is None else {"interval": duration(group.every_s)}
    return {"name": group.name, **interval, "rules": list(map(_rule, group.rules))}


def _rule(rule: Recording | Alert) -> dict[str, Any]:
    if isinstance(rule, Recording):
        return {"record": rule.record, "expr": rule.expr, "labels": rule.labels}
    return {
        "alert": rule.alert,
        "expr": rule.expr,
        **({"for": duration(rule.for_s)} if rule.for_s else {}),
        "labels": {"severity": rule.severity, **rule.labels},
        "annotations": {"summary": rule.summary, "description": rule.description},
    }
