"""`drillyard k8s`: what of the Kubernetes manifests follows from code."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from drillyard.cli.console import Console

app = typer.Typer(help="Deploy on Kubernetes.", no_args_is_help=True)

SERVICE = "drillyard"  # the RayService
# Where each recipe of serving/clusters.py is the patch that sets the Serve config.
_PLACES = {"small": "base", "spread": "components/high-availability", "elastic": "components/autoscaling"}
_NOTE = "# Made by `drillyard k8s render` from serving/clusters.py; `make check` says when it is stale.\n"


@app.command()
def render(
    folder: Annotated[Path, typer.Option(help="The folder of the manifests.", file_okay=False)] = Path("k8s"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 names what is stale.")] = False,
) -> None:
    """Write the files of k8s/ that follow from code: Serve config, environment, HAProxy's wrapper, alerts, dashboards.

    Example: drillyard k8s render
    """
    stale = {path: text for path, text in rendered().items() if _present(folder / path) != text}
    console = Console(quiet=False, json_path=None)
    for path, text in stale.items():
        if not check:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, newline="")
        console.result(f"{folder / path} {'is stale; run: drillyard k8s render' if check else 'written'}")
    if stale and check:
        raise typer.Exit(1)


def rendered() -> dict[str, str]:
    """Each file's text by its path below k8s/, with every example system served."""
    import designs
    from designs.monitoring import kubernetes
    from serving import clusters
    from serving.haproxy import ERROR_PAGE
    from serving.serve_config import serve_config

    models, found = designs.systems(), {}
    for name, make in clusters.RECIPES.items():
        found[f"{_PLACES[name]}/generated/serve.yaml"] = _patch(serve_config(make(*models)))
    config = clusters.small(*models).config
    found["base/generated/common.env"] = _env_file(clusters.common_environment())
    found["base/generated/node.env"] = _env_file(clusters.node_environment(config))
    found["base/generated/haproxy"] = clusters.haproxy_wrapper(config)
    found[f"base/generated/{clusters.ERROR_PAGE.name}"] = ERROR_PAGE
    monitoring = kubernetes.files(map(designs.get, designs.names()))
    return found | {f"components/monitoring/generated/{path}": text for path, text in monitoring.items()}


def _patch(config: dict[str, Any]) -> str:
    """A Kustomize patch of the RayService, which holds the Serve config as text."""
    import yaml

    head = f"apiVersion: ray.io/v1\nkind: RayService\nmetadata:\n  name: {SERVICE}\nspec:\n  serveConfigV2: |\n"
    return _NOTE + head + textwrap.indent(yaml.safe_dump(config, sort_keys=False), "    ")


def _env_file(environment: Mapping[str, str]) -> str:
    return _NOTE + "".join(f"{key}={value}\n" for key, value in environment.items())


def _present(path: Path) -> str | None:
    return path.read_bytes().decode() if path.exists() else None
