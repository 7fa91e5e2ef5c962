"""Every pod of every overlay keeps every rule, and every rule finds the pod that does not."""

from collections.abc import Callable
from copy import deepcopy

import pytest

from tests.k8s import policy
from tests.k8s.manifests import OVERLAYS, Document, Pod, named, of_kind, pods, rendered


@pytest.mark.parametrize("rule", policy.RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_keeps_the_rule(overlay: str, rule: policy.Rule) -> None:
    found = pods(overlay)
    assert len(found) >= 10
    assert [f"{pod.where}: {fault}" for pod in found for fault in rule(pod)] == []


def pod_without_fault() -> Pod:
    container: Document = {
        "name": "main",
        "image": "registry:5000/a/b:1.2",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        **{probe: {"httpGet": {"path": "/", "port": 1}} for probe in ("startupProbe", "livenessProbe")},
        "readinessProbe": {"exec": {"command": ["true"]}},
        "env": [{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}],
        "command": ["run", "postgresql://user:$(DB_PASSWORD)@host/name"],
    }
    spec = {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "initContainers": [deepcopy(container) | {"name": "before"}],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return Pod(where="here", template={"spec": spec})


def test_a_pod_without_fault_passes() -> None:
    pod = pod_without_fault()
    assert [fault for rule in policy.RULES for fault in rule(pod)] == []


def container_is(**change: object) -> Callable[[Document], None]:
    return lambda spec: spec["containers"][0].update(change)


def first_is(**change: object) -> Callable[[Document], None]:
    return lambda spec: spec["initContainers"][0].update(change)


def secured_otherwise(which: str, **change: object) -> Callable[[Document], None]:
    return lambda spec: spec[which][0]["securityContext"].update(change)


VIOLATIONS: list[tuple[policy.Rule, Callable[[Document], object]]] = [
    (policy.not_root, lambda spec: spec["securityContext"].update(runAsUser=0)),
    (policy.not_root, lambda spec: spec["securityContext"].pop("runAsNonRoot")),
    (policy.not_root, secured_otherwise("containers", runAsUser=0)),
    (policy.read_only_root, secured_otherwise("containers", readOnlyRootFilesystem=False)),
    (policy.read_only_root, first_is(securityContext={})),
    (policy.no_new_privileges, secured_otherwise("containers", allowPrivilegeEscalation=True)),
    (policy.no_new_privileges, secured_otherwise("initContainers", privileged=True)),
    (policy.no_capabilities, secured_otherwise("containers", capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]})),
    (policy.no_capabilities, secured_otherwise("containers", capabilities={})),
    (policy.seccomp, lambda spec: spec["securityContext"].pop("seccompProfile")),
    (policy.seccomp, secured_otherwise("containers", seccompProfile={"type": "Unconfined"})),
    (policy.requests_and_limits, container_is(resources={"requests": {"cpu": "1", "memory": "1Gi"}})),
    (policy.requests_and_limits, first_is(resources={})),
    (policy.probes, container_is(startupProbe={})),
    (policy.probes, container_is(livenessProbe={"periodSeconds": 5})),
    (policy.probes, container_is(readinessProbe={})),
    (policy.no_token, lambda spec: spec.pop("automountServiceAccountToken")),
    (policy.no_token, lambda spec: spec.update(automountServiceAccountToken=True)),
    (policy.secrets_by_reference, container_is(env=[{"name": "DB_PASSWORD", "value": "hunter2"}])),
    (policy.secrets_by_reference, first_is(command=["run", "postgresql://user:hunter2@host/name"])),
    (policy.pinned_images, container_is(image="registry:5000/a/b")),
    (policy.pinned_images, container_is(image="a/b:latest")),
    (policy.pinned_images, first_is(image="a")),
    (policy.nothing_of_the_host, lambda spec: spec.update(hostNetwork=True)),
    (policy.nothing_of_the_host, lambda spec: spec["volumes"].append({"hostPath": {"path": "/"}})),
]


@pytest.mark.parametrize(("rule", "spoil"), VIOLATIONS)
def test_the_rule_finds_a_violation(rule: policy.Rule, spoil: Callable[[Document], object]) -> None:
    pod = pod_without_fault()
    spoil(pod.spec)
    assert list(rule(pod))


def test_every_rule_has_a_violation() -> None:
    assert {rule for rule, _ in VIOLATIONS} == set(policy.RULES)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_secret_is_in_the_tree(overlay: str) -> None:
    assert [each["metadata"]["name"] for each in of_kind(overlay, "Secret")] == []


@pytest.mark.parametrize("overlay", ["production", "everything"])
def test_what_kuberay_adds_keeps_the_rules_too(overlay: str) -> None:
    """The autoscaler's container is KubeRay's, with what the RayService says of it."""
    cluster = named(overlay, "RayService", "drillyard")["spec"]["rayClusterConfig"]
    options = cluster["autoscalerOptions"]
    head = deepcopy(cluster["headGroupSpec"]["template"])
    image = head["spec"]["containers"][0]["image"]
    head["spec"]["containers"] = [{"name": "autoscaler", "image": image, **options}]
    pod = Pod(where="autoscaler", template=head, autoscales=True)
    unprobed = [rule for rule in policy.RULES if rule is not policy.probes]  # KubeRay gives it none
    assert [fault for rule in unprobed for fault in rule(pod)] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ray_asks_for_its_token_everywhere(overlay: str) -> None:
    specs = [each["spec"] for each in rendered(overlay) if each["apiVersion"] == "ray.io/v1"]
    clusters = [spec.get("rayClusterConfig") or spec["rayClusterSpec"] for spec in specs]
    assert len(clusters) == 3
    assert [cluster["authOptions"] for cluster in clusters] == [{"mode": "token"}] * 3
