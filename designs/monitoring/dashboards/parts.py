"""What the dashboards' expressions are made of."""

from designs.monitoring.grafana import Panel, Query, Unit

RATE = "[$__rate_interval]"  # Grafana's: wide enough for the scrapes, as narrow as the picture allows
QUANTILES = ("0.5", "0.9", "0.99")


def query(expr: str, legend: str) -> Query:
    """An expression; in the legend `{{label}}` is the series' value of that label."""
    return Query(expr=expr, legend=legend)


def rate(name: str, matcher: str, by: str) -> str:
    """Counts a second."""
    return f"sum by ({by}) (rate({name}{{{matcher}}}{RATE}))"


def quantile(which: str, name: str, matcher: str, by: str) -> str:
    """Of a histogram."""
    return f"histogram_quantile({which}, sum by (le, {by}) (rate({name}_bucket{{{matcher}}}{RATE})))"


def percent(which: str) -> str:
    """0.99 is p99."""
    return f"p{float(which) * 100:g}"


def number(title: str, says: str, value: Query, unit: Unit = "short", *, least: float | None = 0.0) -> Panel:
    """The last value, a quarter of a line wide."""
    return Panel(title=title, says=says, queries=(value,), unit=unit, kind="stat", width=6, least=least)
