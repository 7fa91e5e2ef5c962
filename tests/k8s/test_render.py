"""Each overlay renders, is valid for two versions of Kubernetes, and every name in it leads somewhere."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
import kubernetes_validate
import kubernetes_validate.utils
import pytest

from tests.k8s.manifests import OVERLAYS, ROOT, Document, Pod, of_kind, pods, rendered
from tests.k8s.schemas import SCHEMAS

KUBERNETES = ("1.34", "1.37")  # the oldest that is still maintained and the newest whose schemas are known
CUSTOM = ("ray.io/", "gateway.networking.k8s.io/", "monitoring.coreos.com/")
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)  # megabytes of JSON
MADE_BY_OTHERS = {"drillyard-serve-svc"}  # KubeRay's, for the RayService of that name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_overlay_has_every_part(overlay: str) -> None:
    found = {(each["kind"], each["metadata"]["name"]) for each in rendered(overlay)}
    parts = {
        ("Namespace", "drillyard"),
        ("RayService", "drillyard"),
        ("RayJob", "train-fraud"),
        ("RayJob", "train-vision"),
        ("Deployment", "mlflow"),
        ("Job", "mlflow-migration"),
        ("StatefulSet", "redis"),
        ("Deployment", "locust-master"),
        ("Deployment", "locust-worker"),
        ("CronJob", "drill"),
    }
    assert parts <= found
    assert len(found) == len(rendered(overlay))
    namespaces = {each["metadata"].get("namespace") for each in rendered(overlay) if each["kind"] != "Namespace"}
    assert namespaces == {"drillyard"}


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_core_kinds_are_valid(overlay: str, version: str) -> None:
    """Strictly: a field that this version does not know is an error. So are the pods in custom kinds."""
    core = [each for each in rendered(overlay) if not each["apiVersion"].startswith(CUSTOM)]
    inner = [_as_pod(pod) for pod in pods(overlay)]
    assert len(core) > 15
    for document in (*core, *inner):
        assert kubernetes_validate.validate(document, version, strict=True) == version


def _as_pod(pod: Pod) -> Document:
    metadata = {"name": "any", **pod.template.get("metadata", {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod.spec}


def test_the_validator_refuses_a_field_it_does_not_know() -> None:
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"container": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, KUBERNETES[0], strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_custom_kinds_fit_their_schemas(overlay: str) -> None:
    custom = [each for each in rendered(overlay) if each["apiVersion"].startswith(CUSTOM)]
    assert len(custom) >= 3
    for document in custom:
        jsonschema.validate(document, SCHEMAS[document["kind"]])


@pytest.mark.parametrize("change", [{"serveConfig": "x"}, {"serveConfigV2": 3}, {"upgradeStrategy": {"type": "Blue"}}])
def test_the_schema_refuses_what_kuberay_does_not_know(change: Document) -> None:
    (service,) = of_kind("local", "RayService")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**service, "spec": {**service["spec"], **change}}, SCHEMAS["RayService"])


def values(node: Any, key: str) -> Iterator[Any]:
    """Every value of that key, at any depth."""
    if isinstance(node, list):
        for inner in node:
            yield from values(inner, key)
    elif isinstance(node, dict):
        if key in node:
            yield node[key]
        for inner in node.values():
            yield from values(inner, key)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_configmaps_and_claims_that_pods_name_exist(overlay: str) -> None:
    templates = [pod.template for pod in pods(overlay)]
    for kind, wanted in (
        ("ConfigMap", [each["name"] for key in ("configMapRef", "configMap") for each in values(templates, key)]),
        ("PersistentVolumeClaim", [each["claimName"] for each in values(templates, "persistentVolumeClaim")]),
    ):
        present = {each["metadata"]["name"] for each in of_kind(overlay, kind)}
        assert set(wanted) <= present, kind


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_documentation_lists_the_secrets_and_only_those(overlay: str) -> None:
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    documented = {(name, key) for name, keys in _secrets(text).items() for key in keys}
    used = set(_secret_keys(rendered(overlay)))
    assert used <= documented
    everywhere = set().union(*(set(_secret_keys(rendered(each))) for each in OVERLAYS))
    assert everywhere == documented


def _secrets(text: str) -> dict[str, set[str]]:
    """Names and keys of the table below the heading on secrets."""
    _, _, table = text.partition("## Secrets")
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+?) \|", table, flags=re.MULTILINE)
    assert len(rows) >= 5
    return {name: set(re.findall(r"`([\w.-]+)`", keys)) for name, keys in rows}


def _secret_keys(documents: tuple[Document, ...]) -> Iterator[tuple[str, str]]:
    for reference in values(list(documents), "secretKeyRef"):
        yield reference["name"], reference["key"]
    for reference in values(list(documents), "secretRef"):
        yield from ((reference["name"], key) for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    for volume in values(list(documents), "secret"):
        yield volume["secretName"], "api-keys"
    for reference in values(list(documents), "certificateRefs"):
        yield from ((each["name"], key) for each in reference for key in ("tls.crt", "tls.key"))


def labels(pod: Pod) -> dict[str, str]:
    """A template's own labels, and those that KubeRay adds."""
    found = dict(pod.template["metadata"]["labels"])
    if "headGroupSpec" in pod.where or "workerGroupSpecs" in pod.where:
        worker = "workerGroupSpecs" in pod.where
        serves = str(worker and pod.where.startswith("RayService")).lower()
        found |= {"ray.io/node-type": "worker" if worker else "head", "ray.io/serve": serves}
    return found


def selected(overlay: str, selector: Document) -> list[Pod]:
    """The pods that a label selector means."""
    wanted = selector.get("matchLabels", {}).items()
    found = [pod for pod in pods(overlay) if wanted <= labels(pod).items()]
    for each in selector.get("matchExpressions", ()):
        assert each["operator"] == "In"
        found = [pod for pod in found if labels(pod).get(each["key"]) in each["values"]]
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_budgets_and_policies_select_pods(overlay: str) -> None:
    for document in rendered(overlay):
        kind, name, spec = document["kind"], document["metadata"]["name"], document.get("spec", {})
        if kind == "Service":
            pods_of_it = selected(overlay, {"matchLabels": spec["selector"]})
            ports = {port["name"] for pod in pods_of_it for port in values(pod.containers, "ports") for port in port}
            assert {port["targetPort"] for port in spec["ports"]} <= ports, name
        elif kind == "PodDisruptionBudget":
            assert selected(overlay, spec["selector"]), name
        elif kind == "NetworkPolicy":
            optional = {"stores-of-tracking"} if overlay == "production" else set()  # its stores are outside
            assert selected(overlay, spec["podSelector"]) or name in optional, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_host_that_is_named_is_a_service(overlay: str) -> None:
    services = {each["metadata"]["name"] for each in of_kind(overlay, "Service")} | MADE_BY_OTHERS
    maps = [each["data"] for each in of_kind(overlay, "ConfigMap")]
    text = repr([pod.template for pod in pods(overlay)]) + repr([m.get("MLFLOW_TRACKING_URI") for m in maps])
    named = set(re.findall(r"http://([a-z-]+):\d+", text)) | set(re.findall(r"--master-host=([a-z-]+)", text))
    assert {"mlflow", "drillyard-serve-svc", "locust-master"} <= named
    assert named <= services
    backends = {each["name"] for found in values(list(rendered(overlay)), "backendRefs") for each in found}
    assert backends <= services


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_policy_closes_everything_first(overlay: str) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(overlay, "NetworkPolicy")}
    assert policies["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    open_to_all = [
        name
        for name, spec in policies.items()
        for rule in spec.get("ingress", ())
        if not rule.get("from") or (not rule.get("ports") and rule["from"] != [{"podSelector": spec["podSelector"]}])
    ]
    assert open_to_all == []


def test_production_survives_a_zone() -> None:
    """Three nodes that never share a host, over zones, and drains that take one at a time."""
    (service,) = of_kind("production", "RayService")
    (group,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert group["minReplicas"] >= 3
    spread = group["template"]["spec"]["topologySpreadConstraints"]
    assert {each["topologyKey"] for each in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    assert {each["whenUnsatisfiable"] for each in spread} == {"DoNotSchedule"}
    budgets = {each["metadata"]["name"]: each["spec"] for each in rendered("production") if "Budget" in each["kind"]}
    # A RayCluster has no scale subresource, so only a number of pods that stay is understood.
    assert budgets["serving"]["minAvailable"] == group["minReplicas"] - 1
    assert "maxUnavailable" not in budgets["serving"]


def test_no_two_kinds_of_route_share_a_listener() -> None:
    """A conformant gateway accepts one of an HTTPRoute and a GRPCRoute with the same host name, and drops the other."""
    routes = [each for each in rendered("production") if each["kind"].endswith("Route")]
    assert {each["kind"] for each in routes} == {"HTTPRoute"}
    backends = {each["name"] for found in values(routes, "backendRefs") for each in found}
    assert backends == {"drillyard-serve-svc", "drillyard-grpc"}
