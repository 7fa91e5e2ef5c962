"""Dashboards ask for what is exported or recorded, and nothing else; Grafana's own types take their JSON."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard as GrafanasOwn

import designs
from designs.monitoring import dashboards, grafana, provisioning, rules
from designs.monitoring.grafana import Dashboard
from designs.monitoring.rule import Alert, Recording
from tests.designs.support import exposed

EVERY = {dashboard.uid: dashboard for dashboard in dashboards.every()}
PROMETHEUS_OWN = {"up": exposed.SCRAPED, "ALERTS": {"alertname", "alertstate", "severity"}}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> exposed.Exposed:
    """Labels by name: what is scraped, what the rules record, what Prometheus adds."""
    found = exposed.everything(tmp_path_factory.mktemp("metrics")) | {k: set(v) for k, v in PROMETHEUS_OWN.items()}
    for rule in every_rule():
        if isinstance(rule, Recording):
            found.setdefault(rule.record, set()).update(rule.labels)
        else:
            found["ALERTS"].update(rule.labels)
    return found


def every_rule() -> list[Recording | Alert]:
    return [rule for group in rules.groups(map(designs.get, designs.names())) for rule in group.rules]


def selectors(expr: str) -> Iterator[tuple[str, set[str]]]:
    """Name and labels of each series that an expression asks for. Grafana's own variables are filled in first."""
    parsed = promql_parser.parse(re.sub(r"\$__rate_interval", "5m", expr))
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(parsed, visit)
    for each in found:
        assert each.name is not None, f"a series without a name in {expr}"
        yield each.name, {matcher.name for matcher in each.matchers.matchers}


def asked(dashboard: Dashboard) -> list[str]:
    return [query.expr for row in dashboard.rows for panel in row.panels for query in panel.queries]


def unknown(expr: str, known: exposed.Exposed) -> list[str]:
    """What an expression asks for and nobody exports."""
    return [name for name, labels in selectors(expr) if name not in known or not labels <= known[name]]


@pytest.mark.parametrize("uid", EVERY)
def test_a_dashboard_asks_for_what_is_exported_or_recorded(uid: str, known: exposed.Exposed) -> None:
    exprs = asked(EVERY[uid])
    assert len(exprs) >= 5
    assert {expr: found for expr in exprs if (found := unknown(expr, known))} == {}
    for variable in EVERY[uid].variables:
        assert variable.label in known[variable.metric]


def test_rules_ask_for_what_is_exported_or_recorded(known: exposed.Exposed) -> None:
    assert {rule.expr: found for rule in every_rule() if (found := unknown(rule.expr, known))} == {}


def test_documented_queries_ask_for_what_is_exported_or_recorded(known: exposed.Exposed) -> None:
    text = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()
    table = text.partition("| question | PromQL |")[2].partition("\n\n")[0]
    queries = re.findall(r"`([^`]+)` \|$", table, flags=re.MULTILINE)
    assert len(queries) > 5
    assert {expr: found for expr in queries if (found := unknown(expr, known))} == {}


@pytest.mark.parametrize(
    "expr",
    [
        "sum(rate(drillyard_request_total[5m]))",
        'drillyard_requests_total{status="500"}',
        "drillyard_drill_latency_seconds",
        "drillyard:slo_bad:ratio_rate7m",
    ],
)
def test_a_name_or_label_that_nobody_exports_is_found(expr: str, known: exposed.Exposed) -> None:
    assert len(unknown(expr, known)) == 1


def test_every_exported_metric_is_on_a_dashboard(known: exposed.Exposed) -> None:
    """Else somebody counts what nobody looks at."""
    stems = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known if name.startswith("drillyard_")}
    shown = {re.sub(r"_(bucket|sum|count)$", "", n) for d in EVERY.values() for e in asked(d) for n, _ in selectors(e)}
    assert stems - shown == set()


@pytest.mark.parametrize("uid", EVERY)
def test_grafanas_own_types_take_the_dashboard_and_lose_nothing(uid: str) -> None:
    register_default_plugins()
    ours = json.loads(provisioning.dashboard_file(EVERY[uid]))
    theirs = json.loads(json.dumps(GrafanasOwn.from_json(ours), cls=JSONEncoder))
    assert missing(ours, theirs) == []


def missing(ours: object, theirs: object, path: str = "") -> list[str]:
    """Paths of ours that the other has not, or has otherwise; what it adds are defaults."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            each
            for key, value in ours.items()
            for each in (missing(value, theirs[key], f"{path}/{key}") if key in theirs else [f"{path}/{key}"])
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [each for i, pair in enumerate(zip(ours, theirs, strict=True)) for each in missing(*pair, f"{path}/{i}")]
    return [] if ours == theirs else [path]


def test_grafanas_own_types_find_a_field_that_there_is_not() -> None:
    register_default_plugins()
    ours = grafana.model(EVERY["drillyard-training"])
    ours["panels"][1]["fieldConfig"]["defaults"]["untis"] = "s"
    theirs = json.loads(json.dumps(GrafanasOwn.from_json(ours), cls=JSONEncoder))
    assert missing(ours, theirs) == ["/panels/1/fieldConfig/defaults/untis"]


@pytest.mark.parametrize("uid", EVERY)
def test_panels_fill_the_grid_and_none_lies_on_another(uid: str) -> None:
    panels = grafana.model(EVERY[uid])["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= grafana.COLUMNS
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_a_grafana_finds_its_dashboards_and_their_prometheus(tmp_path: Path) -> None:
    files = provisioning.write(tmp_path / "grafana", "http://127.0.0.1:9190")
    assert all(path.is_file() for path in files)
    (provider,) = yaml.safe_load((tmp_path / "grafana/provisioning/dashboards/drillyard.yaml").read_text())["providers"]
    assert {path.stem for path in Path(provider["options"]["path"]).iterdir()} == set(EVERY)
    sources = yaml.safe_load((tmp_path / "grafana/provisioning/datasources/drillyard.yaml").read_text())["datasources"]
    assert [(each["type"], each["url"]) for each in sources] == [("prometheus", "http://127.0.0.1:9190")]
