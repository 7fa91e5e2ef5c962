"""The component `monitoring`: the local rules and dashboards, and a scrape of pods and ports that there are."""

import json
from typing import Any

import jsonschema
import pytest

import designs
from designs.monitoring import dashboards, operations, rules
from designs.monitoring.grafana import SOURCE, model
from designs.monitoring.rule import document
from tests.k8s.manifests import Document, named, pods
from tests.k8s.schemas import SCHEMAS
from tests.k8s.test_render import labels, selected

OVERLAY = "production"


@pytest.fixture(scope="module")
def monitor() -> Document:
    return named(OVERLAY, "PodMonitor", "drillyard")


def test_the_rules_are_the_local_ones() -> None:
    found = named(OVERLAY, "PrometheusRule", "drillyard")
    assert found["spec"] == document(rules.groups(map(designs.get, designs.names())))


def test_the_dashboards_are_the_local_ones_and_the_sidecar_finds_them() -> None:
    found = named(OVERLAY, "ConfigMap", "drillyard-dashboards")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    wanted = {f"{each.uid}.json": model(each) for each in dashboards.every()}
    assert {name: json.loads(text) for name, text in found["data"].items()} == wanted
    assert sum(map(len, found["data"].values())) < 2**18, "the largest annotation, in which kubectl apply keeps a copy"
    assert SOURCE["uid"] == "${source}", "the page asks which Prometheus, since clusters name theirs differently"


def test_every_node_that_serves_is_scraped_once_and_no_other_pod(monitor: Document) -> None:
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    with_port = [
        pod
        for pod in selected(OVERLAY, monitor["spec"]["selector"])
        for container in pod.containers
        for port in container.get("ports", ())
        if port["name"] == endpoint["port"]
    ]
    serving = [pod for pod in pods(OVERLAY) if labels(pod).get("ray.io/serve") == "true"]
    assert [pod.where for pod in with_port] == [pod.where for pod in serving] != []


def test_the_job_is_the_one_that_alerts_ask_for(monitor: Document) -> None:
    selector = monitor["spec"]["selector"]
    jobs = {labels(pod)[monitor["spec"]["jobLabel"]] for pod in selected(OVERLAY, selector)}
    assert jobs == {operations.JOB}


@pytest.mark.parametrize("change", [{"podMetricsEndpoint": []}, {"selector": {"matchLabel": {}}}, {"jobLabel": 1}])
def test_the_schema_refuses_what_the_operator_does_not_know(monitor: Document, change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**monitor, "spec": {**monitor["spec"], **change}}, SCHEMAS["PodMonitor"])
