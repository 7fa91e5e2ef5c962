"""What Kustomize makes of an overlay, and the pods in it."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import needs

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
OVERLAYS = ("local", "production", "everything")  # the last: local with every component there is
Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod template and where it stands."""

    where: str
    template: Document
    ends: bool = False  # runs to completion: nothing asks it whether it is ready
    autoscales: bool = False  # KubeRay adds Ray's autoscaler to it, which asks the API server for workers

    @property
    def spec(self) -> Document:
        return self.template["spec"]

    @property
    def containers(self) -> list[Document]:
        return self.spec["containers"]

    @property
    def all_containers(self) -> list[Document]:
        return [*self.spec.get("initContainers", []), *self.containers]


@cache
def rendered(overlay: str) -> tuple[Document, ...]:
    """The documents of `kubectl kustomize`; skips where there is no kubectl that knows components."""
    kubectl = needs.program("kubectl", "kubernetes-client")  # of Debian 13, or a release of Kubernetes
    if overlay != "everything":
        return _kustomize(kubectl, K8S / "overlays" / overlay)
    with tempfile.TemporaryDirectory(dir=K8S / "overlays", prefix=".everything-") as name:
        folder = Path(name)
        every = dict.fromkeys([*_components("production"), *(path.name for path in (K8S / "components").iterdir())])
        added = [f"../../components/{name}" for name in every if name not in _components("local")]
        content = {"namespace": "drillyard", "resources": ["../local"], "components": added}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
        return _kustomize(kubectl, folder)


def of_kind(overlay: str, kind: str) -> list[Document]:
    """Those of the overlay's documents."""
    return [each for each in rendered(overlay) if each["kind"] == kind]


def _components(overlay: str) -> list[str]:
    """In the order in which the overlay lists them, which matters."""
    listed = yaml.safe_load((K8S / "overlays" / overlay / "kustomization.yaml").read_text())["components"]
    return [Path(path).name for path in listed]


def _kustomize(kubectl: str, folder: Path) -> tuple[Document, ...]:
    command = [kubectl, "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "HOME": "/tmp"})
    if "unknown field" in done.stderr and "components" in done.stderr:
        # Debian 12 ships such a one; `.ci/run` installs a newer.
        pytest.skip("this kubectl is older than 1.21 and knows no components")
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def named(overlay: str, kind: str, name: str) -> Document:
    """The one document of that kind and name."""
    (found,) = (each for each in rendered(overlay) if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def pods(overlay: str) -> list[Pod]:
    """Every pod template there is, those in KubeRay's kinds included."""
    return [pod for document in rendered(overlay) for pod in _pods(document)]


def _pods(document: Document) -> Iterator[Pod]:
    name = f"{document['kind']}/{document['metadata']['name']}"
    autoscaled = document.get("spec", {}).get("rayClusterConfig", {}).get("enableInTreeAutoscaling", False)
    for path, template in _templates(document, ""):
        yield Pod(
            where=name + path,
            template=template,
            ends=document["kind"] in ("Job", "CronJob"),
            autoscales=autoscaled and "headGroupSpec" in path,
        )


def _templates(node: Any, path: str) -> Iterator[tuple[str, Document]]:
    if isinstance(node, list):
        for number, inner in enumerate(node):
            yield from _templates(inner, f"{path}[{number}]")
    elif isinstance(node, dict):
        for key, inner in node.items():
            if key == "template" and "containers" in inner.get("spec", {}):
                yield f"{path}.{key}", inner
            else:
                yield from _templates(inner, f"{path}.{key}")
