"""The generated part of k8s/components/monitoring: the very rules and dashboards, as Kubernetes takes them.

PrometheusRule is prometheus-operator's kind (https://prometheus-operator.dev/docs/api-reference/api/).
"""

from collections.abc import Iterable

from designs.design import Design
from designs.monitoring import dashboards, rules
from designs.monitoring.provisioning import dashboard_file
from designs.monitoring.rule import document

NAME = "drillyard"


def files(designs: Iterable[Design]) -> dict[str, str]:
    """Each file's text by its path below `generated/`. Raises UsageError (a promise that the server does not count)."""
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": NAME},
        "spec": document(rules.groups(designs)),
    }
    found = {f"dashboards/{each.uid}.json": dashboard_file(each) for each in dashboards.every()}
    return {"rules.yaml": rules.HEADER + rules.as_yaml(rule), **found}
