"""What the manifests say of the code is what the code says of itself."""

import importlib.util
import re
import shlex
import tomllib
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema
from typer.testing import CliRunner

import designs
from drillyard.cli import k8s
from drillyard.cli.app import app
from drillyard.core.settings import NO_TELEMETRY, Settings
from serving import builders, clusters, node_metrics
from serving.builders import Arguments
from tests.k8s.manifests import K8S, OVERLAYS, ROOT, Pod, named, of_kind, pods, rendered
from tests.k8s.test_render import values

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
RECIPE_OF = {"local": "small", "production": "elastic", "everything": "elastic"}


def serve_config(overlay: str) -> dict[str, Any]:
    text = named(overlay, "RayService", "drillyard")["spec"]["serveConfigV2"]
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def serving_pods(overlay: str) -> list[Pod]:
    return [pod for pod in pods(overlay) if pod.where.startswith("RayService/")]


def environment(overlay: str, pod: Pod) -> dict[str, str]:
    """What the first container's ConfigMaps say."""
    maps = {each["metadata"]["name"]: each["data"] for each in of_kind(overlay, "ConfigMap")}
    found: dict[str, str] = {}
    for source in pod.containers[0]["envFrom"]:
        found |= maps.get(source.get("configMapRef", {}).get("name"), {})
    return found


def test_generated_files_are_fresh() -> None:
    stale = [path for path, text in k8s.rendered().items() if (K8S / path).read_bytes() != text.encode()]
    assert stale == [], "run: drillyard k8s render"
    present = {path.relative_to(K8S) for path in K8S.rglob("*") if path.is_file() and "generated" in path.parts}
    assert set(map(str, present)) == set(k8s.rendered())


def test_render_says_what_is_stale_and_mends_it(tmp_path: Any) -> None:
    call = ["k8s", "render", "--folder", str(tmp_path)]
    assert CliRunner().invoke(app, [*call, "--check"]).exit_code == 1
    assert list(tmp_path.iterdir()) == []
    assert CliRunner().invoke(app, call).exit_code == 0
    assert CliRunner().invoke(app, [*call, "--check"]).output == ""
    changed = tmp_path / "base/generated/node.env"
    changed.write_text(changed.read_text().replace("RETRIES=3", "RETRIES=4"))
    result = CliRunner().invoke(app, [*call, "--check"])
    assert (result.exit_code, "node.env" in result.output, "haproxy" in result.output) == (1, True, False)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_serve_config_is_one_of_rays_and_of_the_recipe(overlay: str) -> None:
    config = serve_config(overlay)
    ServeDeploySchema.model_validate(config)
    cluster = clusters.RECIPES[RECIPE_OF[overlay]](*designs.systems())
    *models, front = config["applications"]
    assert [each["name"] for each in models] == designs.systems()
    for application in (*models, front):
        module, _, name = application["import_path"].partition(":")
        assert callable(getattr(importlib.import_module(module), name))
        given = Arguments.model_validate(application["args"]).config
        assert given.keys_file == cluster.config.keys_file
        assert given.max_ongoing_requests == cluster.config.max_ongoing_requests
    assert [Arguments.model_validate(each["args"]).config.autoscaling for each in models] == [
        cluster.config.autoscaling
    ] * len(models)


def test_arguments_refuse_a_setting_that_there_is_not() -> None:
    good = serve_config("local")["applications"][0]["args"]
    for config in (
        {**good["config"], "replica": 2},
        {**good["config"], "batching": {"rows": 1}},
        {**good["config"], "port": "http"},
        {key: value for key, value in good["config"].items() if key != "models"},
    ):
        with pytest.raises(ValueError, match="config"):
            Arguments.model_validate({"config": config})


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ports_are_the_recipes(overlay: str) -> None:
    config = clusters.small(*designs.systems()).config
    served = serve_config(overlay)
    assert (served["http_options"]["port"], served["grpc_options"]["port"]) == (config.port, config.grpc_port)
    for pod in serving_pods(overlay):
        ports = {port["name"]: port["containerPort"] for port in pod.containers[0]["ports"]}
        assert ports["serve"] == config.port
        assert ports.get("grpc", config.grpc_port) == config.grpc_port
    (worker,) = (pod for pod in serving_pods(overlay) if "worker" in pod.where)
    assert worker.containers[0]["readinessProbe"]["httpGet"] == {"path": clusters.HEALTH_PATH, "port": "serve"}
    metrics = worker.containers[1]
    assert metrics["command"] == ["python", "-m", node_metrics.__name__]
    assert [port["containerPort"] for port in metrics["ports"]] == [clusters.NODE_METRICS_PORT]
    assert metrics["livenessProbe"]["httpGet"]["path"] == node_metrics.ALIVE_PATH
    urls = set(re.findall(r"http://drillyard-serve-svc:(\d+)", repr([pod.template for pod in pods(overlay)])))
    assert urls == {str(config.port)}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_nodes_environment_is_the_codes(overlay: str) -> None:
    for make in clusters.RECIPES.values():
        node = clusters.node_environment(make(*designs.systems()).config)
        for pod in serving_pods(overlay):
            found = environment(overlay, pod)
            assert found.pop("MLFLOW_TRACKING_URI")
            assert found == {**clusters.common_environment(), **node}
    wrapper = clusters.haproxy_wrapper(clusters.small(*designs.systems()).config)
    assert all(
        clusters.haproxy_wrapper(make(*designs.systems()).config) == wrapper for make in clusters.RECIPES.values()
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_of_our_containers_sends_no_telemetry_and_has_a_home(overlay: str) -> None:
    ours = [pod for pod in pods(overlay) if "drillyard" in pod.containers[0]["image"]]
    assert len(ours) >= 8
    for pod in ours:
        found = environment(overlay, pod)
        assert NO_TELEMETRY.items() <= found.items(), pod.where
        settings = Settings.from_env(found)
        assert settings.home == clusters.HOME
        assert settings.tracking_uri == "http://mlflow:5000"
        mounted = {each["mountPath"] for each in pod.containers[0]["volumeMounts"]}
        assert {str(clusters.HOME), "/tmp"} <= mounted


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_serving_pods_mount_what_the_code_expects(overlay: str) -> None:
    for pod in serving_pods(overlay):
        mounts = {each["mountPath"]: each["name"] for each in pod.containers[0]["volumeMounts"]}
        volumes = {each["name"]: each for each in pod.spec["volumes"]}
        haproxy = volumes[mounts[str(clusters.WRAPPER.parent)]]["configMap"]
        assert haproxy["defaultMode"] & 0o111 == 0o111  # HAProxy's wrapper is a program
        files = next(each["data"] for each in rendered(overlay) if each["metadata"]["name"] == haproxy["name"])
        assert set(files) == {clusters.WRAPPER.name, clusters.ERROR_PAGE.name}
        assert str(clusters.KEYS_FILE.parent) in mounts
        assert str(clusters.RUN) in mounts


def drillyard_calls() -> list[str]:
    found = {shlex.join(each) for pod in pods("production") for each in values(pod.all_containers, "command")}
    jobs = {each["spec"]["entrypoint"] for each in of_kind("production", "RayJob")}
    return sorted(call for call in found | jobs if call.startswith("drillyard "))


def test_commands_parse() -> None:
    calls = drillyard_calls()
    assert len(calls) == 4
    for call in calls:
        result = CliRunner().invoke(app, [*shlex.split(call)[1:], "--help"])
        assert result.exit_code == 0, call
        options = {word.partition("=")[0] for word in shlex.split(call) if word.startswith("--")}
        assert options <= set(re.findall(r"--[a-z-]+", result.output)), call
    trained = {call.split()[2] for call in calls if " train " in f" {call} "}
    assert trained == set(designs.systems())


def test_modules_that_are_run_exist() -> None:
    commands = [each for pod in pods("production") for each in values(pod.all_containers, "command")]
    modules = {each[2] for each in commands if each[:2] == ["python", "-m"]}
    assert modules == {"serving.node_metrics", "pipelines.schema"}
    assert all(importlib.util.find_spec(name) for name in modules)


def test_locusts_options_are_the_locustfiles() -> None:
    source = (ROOT / "loadtests" / "standalone.py").read_text()
    own = set(re.findall(r'"(--[a-z-]+)"', source))
    locusts = {"--master", "--worker", "--master-host", "--web-host", "--locustfile", "--host"}
    calls = [each for pod in pods("local") for each in values(pod.containers, "command") if each[0] == "locust"]
    assert len(calls) == 2
    for call in calls:
        assert {word.partition("=")[0] for word in call[1:]} <= own | locusts
        (file,) = (word.partition("=")[2] for word in call if word.startswith("--locustfile"))
        assert (ROOT / file.removeprefix("/opt/drillyard/")).is_file()


def test_versions_are_those_of_the_tree() -> None:
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))
    for overlay in OVERLAYS:
        assert set(values(list(rendered(overlay)), "rayVersion")) == {pins["ray"]}
        images = {image for pod in pods(overlay) for image in values(pod.all_containers, "image")}
        tags = {image.rpartition(":")[2] for image in images if "drillyard" in image}
        assert tags <= {f"{PROJECT['version']}-cpu", f"{PROJECT['version']}-cuda"}
        assert f"{PROJECT['version']}-cpu" in tags
    kuberay = set(re.findall(r"kuberay-operator --version (\d\S+)", (ROOT / "docs/kubernetes.md").read_text()))
    assert len(kuberay) == 1


def test_the_image_is_what_the_pods_take_it_for() -> None:
    stages = re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)
    assert len(stages) > 3
    assert stages[-2:] == ["cuda", "cpu"]  # the last is what a build without --target makes
    (user,) = set(re.findall(r"^USER (\d+):", DOCKERFILE, flags=re.MULTILINE))
    ours = [pod for pod in pods("production") if "drillyard" in pod.containers[0]["image"]]
    assert {pod.spec["securityContext"]["runAsUser"] for pod in ours} == {int(user)}
    assert DOCKERFILE.rindex("USER ") > DOCKERFILE.rindex("useradd")
    assert clusters.HAPROXY in DOCKERFILE
    for folder in (clusters.HOME, clusters.RUN):
        assert str(folder) in DOCKERFILE
    assert "\nHEALTHCHECK " in DOCKERFILE
    assert "/v2/health/live" in DOCKERFILE


def test_the_image_has_every_package_and_no_model() -> None:
    from tests.test_architecture import PACKAGES

    copied = set(re.findall(r"^COPY (\w+) /\1$", DOCKERFILE, flags=re.MULTILINE))
    assert copied == set(PACKAGES)
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    assert ignored.index("*") < ignored.index("!serving")
    assert {line[1:] for line in ignored if line.startswith("!")} >= {*PACKAGES, "pyproject.toml", "constraints.txt"}
    assert "**/*.onnx" in ignored
    wanted = {
        name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, flags=re.M) for name in line.split()
    }
    assert all((ROOT / name).exists() for name in wanted)


def test_the_image_has_the_drivers_of_the_stores() -> None:
    (extra,) = set(re.findall(r"optional-dependencies'\]\['(\w+)'\]", DOCKERFILE))
    drivers = " ".join(PROJECT["optional-dependencies"][extra])
    (driver,) = re.findall(r"uri=postgresql\+(\w+)://", (ROOT / "docs/kubernetes.md").read_text())
    assert f"{driver}[" in drivers
    assert "boto3" in drivers


def test_haproxys_sockets_fit() -> None:
    """HAProxy refuses a longer path, and Ray Serve puts a folder of the node's name (56 characters) between."""
    node = clusters.node_environment(clusters.small(*designs.systems()).config)
    for name in ("RAY_SERVE_HAPROXY_SOCKET_PATH", "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH"):
        assert len(node[name]) + 57 <= 97


def test_metrics_lie_where_their_exporter_looks() -> None:
    settings = Settings.from_env(dict(clusters.common_environment()))
    assert builders.metrics_folder(settings) == clusters.HOME / builders.METRICS_FOLDER
