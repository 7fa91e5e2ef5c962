"""Grafana dashboards as data, and the JSON that Grafana reads.

https://grafana.com/docs/grafana/v10.1/dashboards/build-dashboards/view-dashboard-json-model/ has its fields. What is
needed of them is little and written out here; the tests hold the result against Grafana's own Python types.
"""

from itertools import count
from typing import Any, Literal

from drillyard.core.contract import Frozen

COLUMNS, HEIGHT = 24, 8  # of Grafana's grid, and of a panel in it
SCHEMA_VERSION = 38  # of Grafana 10.1; later ones bring it up to date when they load it
SOURCE = {"type": "prometheus", "uid": "${source}"}  # whichever Prometheus is chosen at the top of the page

Unit = Literal["short", "percentunit", "s", "reqps"]


class Query(Frozen):
    """One expression and what its series are called."""

    expr: str
    legend: str


class Panel(Frozen):
    """One picture: a graph over time, or the last values as numbers."""

    title: str
    says: str  # how to read it, behind the panel's (i)
    queries: tuple[Query, ...]
    unit: Unit = "short"
    kind: Literal["timeseries", "stat"] = "timeseries"
    width: int = 8  # of COLUMNS
    least: float | None = 0.0  # of the axis; None: as the values are


class Row(Frozen):
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


class Variable(Frozen):
    """A choice at the top of the page: all values that a label has."""

    metric: str
    label: str

    @property
    def query(self) -> str:
        return f"label_values({self.metric}, {self.label})"


class Dashboard(Frozen):
    """One page."""

    uid: str
    title: str
    says: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    span: str = "now-1h"  # shown at first
    refresh: str = "10s"


def model(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard's JSON model."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.says,
        "tags": ["drillyard"],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,  # one cross hair for all panels
        "schemaVersion": SCHEMA_VERSION,
        "refresh": dashboard.refresh,
        "time": {"from": dashboard.span, "to": "now"},
        "templating": {"list": [_SOURCES, *map(_variable, dashboard.variables)]},
        "panels": _panels(dashboard.rows),
    }


_SOURCES = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.label,
        "label": variable.label,
        "type": "query",
        "datasource": SOURCE,
        "query": variable.query,
        "refresh": 2,  # when the time range changes: models come and go
        "includeAll": True,
        "multi": True,
        "allValue": ".+",
        "current": {"selected": True, "text": "All", "value": "$__all"},
    }


def _panels(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    """Rows from top to bottom, panels from left to right, the next line where one is full."""
    found: list[dict[str, Any]] = []
    ids, y = count(1), 0
    for row in rows:
        found.append(
            {
                "id": next(ids),
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
                "panels": [],
            }
        )
        x, y = 0, y + 1
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y = 0, y + HEIGHT
            found.append(_panel(panel, next(ids), x, y))
            x += panel.width
        y += HEIGHT
    return found


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.least is not None:
        defaults["min"] = panel.least
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": HEIGHT},
        "targets": [_target(query, chr(ord("A") + i), panel.kind) for i, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _OPTIONS[panel.kind],
    }


def _target(query: Query, letter: str, kind: str) -> dict[str, Any]:
    instant = kind == "stat"
    return {
        "refId": letter,
        "datasource": SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend,
        "instant": instant,
        "range": not instant,
    }


_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
        "orientation": "auto",
        "textMode": "auto",
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
    },
}
