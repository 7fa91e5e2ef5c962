"""A running drill: what callers saw, beside what the server says of itself."""

from designs.monitoring.dashboards.parts import RATE, number, percent, quantile, query, rate
from designs.monitoring.grafana import Dashboard, Panel, Row, Variable
from loadtests.generator import exporter as exported
from serving.catalogue import LATENCY, REQUESTS


def drill() -> Dashboard:
    """What a running drill sees, beside what the server says of itself."""
    of = 'drill=~"$drill"'
    outcomes = rate(exported.REQUESTS.name, of, "drill, model, outcome")
    client = [
        query(quantile(q, exported.LATENCY.name, of, "drill, model"), f"client {percent(q)}") for q in ("0.5", "0.99")
    ]
    replica = query(quantile("0.99", LATENCY.name, "", "model"), "{{model}} replica p99")
    return Dashboard(
        uid="drillyard-drill",
        title="drillyard: drill",
        says="A drill run with --metrics-port: what callers saw, in one picture with the server's own figures.",
        variables=(Variable(metric=exported.SENT.name, label="drill"),),
        span="now-5m",
        refresh="5s",
        rows=(
            Row(
                title="The drill",
                panels=(
                    number(
                        "Budget left",
                        "Of the whole drill's error budget; below 0 it is overdrawn.",
                        query(f"{exported.BUDGET_LEFT.name}{{{of}}}", "{{drill}} {{model}}"),
                        "percentunit",
                        least=None,
                    ),
                    number(
                        "Time",
                        "Since the first intended send.",
                        query(f"{exported.ELAPSED.name}{{{of}}}", "{{drill}}"),
                        "s",
                    ),
                    number(
                        "Sent",
                        "Requests so far, those dropped for want of room in the generator among them.",
                        query(f"{exported.SENT.name}{{{of}}}", "{{drill}}"),
                    ),
                    number(
                        "Ended, by outcome",
                        "ok, slow (right, but later than promised) and error.",
                        query(f"{exported.REQUESTS.name}{{{of}}}", "{{outcome}}"),
                    ),
                ),
            ),
            Row(
                title="Both sides",
                panels=(
                    Panel(
                        title="Outcomes",
                        says="What became of the drill's requests.",
                        queries=(query(outcomes, "{{outcome}}"),),
                        unit="reqps",
                        width=12,
                    ),
                    Panel(
                        title="Answers of the replicas",
                        says="All traffic, the drill's among it.",
                        queries=(
                            query(f"sum by (model, code) (rate({REQUESTS.exposed_name}{RATE}))", "{{model}} {{code}}"),
                        ),
                        unit="reqps",
                        width=12,
                    ),
                    Panel(
                        title="Latency from the intended send time, and time in the replica",
                        says="Far apart: requests wait before a replica hears of them.",
                        queries=(*client, replica),
                        unit="s",
                        width=12,
                    ),
                    Panel(
                        title="Budget left",
                        says="Of the whole drill's error budget.",
                        queries=(query(f"{exported.BUDGET_LEFT.name}{{{of}}}", "{{drill}} {{model}}"),),
                        unit="percentunit",
                        width=12,
                        least=None,
                    ),
                ),
            ),
        ),
    )
