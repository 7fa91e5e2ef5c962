"""The rules that every pod keeps: each a function that says what is wrong with a pod."""

import re
from collections.abc import Callable, Iterator

from tests.k8s.manifests import Document, Pod

Rule = Callable[[Pod], Iterator[str]]
_SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|CREDENTIAL|_KEY$|STORE_URI")
_TAGGED = re.compile(r"^(?:[^/]+(?::\d+)?/)?[a-z0-9./_-]+(?:@sha256:[0-9a-f]{64}|:(?!latest$)[^\s/]*\d[^\s/]*)$")


def not_root(pod: Pod) -> Iterator[str]:
    context = pod.spec.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser", 0) > 0:
        yield "may run as root"
    for container in pod.all_containers:
        if "runAsUser" in _context(container) or _context(container).get("runAsNonRoot") is False:
            yield f"{container['name']} chooses its own user"


def read_only_root(pod: Pod) -> Iterator[str]:
    yield from _each(pod, "writes to its root file system", lambda c: _context(c).get("readOnlyRootFilesystem") is True)


def no_new_privileges(pod: Pod) -> Iterator[str]:
    yield from _each(
        pod,
        "may gain privileges",
        lambda c: _context(c).get("allowPrivilegeEscalation") is False and not _context(c).get("privileged"),
    )


def no_capabilities(pod: Pod) -> Iterator[str]:
    yield from _each(pod, "keeps capabilities", lambda c: _context(c).get("capabilities") == {"drop": ["ALL"]})


def seccomp(pod: Pod) -> Iterator[str]:
    if pod.spec.get("securityContext", {}).get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "has no seccomp profile"
    yield from _each(pod, "has another seccomp profile", lambda c: "seccompProfile" not in _context(c))


def requests_and_limits(pod: Pod) -> Iterator[str]:
    for container in pod.all_containers:
        resources = container.get("resources", {})
        for kind in ("requests", "limits"):
            for what in ("cpu", "memory"):
                if what not in resources.get(kind, {}):
                    yield f"{container['name']} has no {kind} of {what}"


def probes(pod: Pod) -> Iterator[str]:
    for container in () if pod.ends else pod.containers:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if not {"httpGet", "exec", "tcpSocket", "grpc"} & set(container.get(probe, {})):
                yield f"{container['name']} has no {probe}"


def no_token(pod: Pod) -> Iterator[str]:
    if pod.spec.get("automountServiceAccountToken", True) is not pod.autoscales:
        yield "mounts a service account's token, or needs one and has none"


def secrets_by_reference(pod: Pod) -> Iterator[str]:
    for container in pod.all_containers:
        for variable in container.get("env", []):
            if _SECRET_NAME.search(variable["name"]) and "value" in variable:
                yield f"{container['name']} is told {variable['name']} in clear"
        for word in [*container.get("command", []), *container.get("args", [])]:
            if re.search(r"://[^/$]*:[^/$]*@", word):
                yield f"{container['name']} has a password among its arguments"


def pinned_images(pod: Pod) -> Iterator[str]:
    yield from _each(pod, "has an image without a version", lambda c: bool(_TAGGED.match(c["image"])))


def nothing_of_the_host(pod: Pod) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(name):
            yield f"has {name}"
    for volume in pod.spec.get("volumes", []):
        if "hostPath" in volume:
            yield f"mounts {volume['hostPath']}"


RULES: tuple[Rule, ...] = (
    not_root,
    read_only_root,
    no_new_privileges,
    no_capabilities,
    seccomp,
    requests_and_limits,
    probes,
    no_token,
    secrets_by_reference,
    pinned_images,
    nothing_of_the_host,
)


def _context(container: Document) -> Document:
    return container.get("securityContext", {})


def _each(pod: Pod, fault: str, good: Callable[[Document], bool]) -> Iterator[str]:
    for container in pod.all_containers:
        if not good(container):
            yield f"{container['name']} {fault}"
