"""The configuration file of Ray Serve that serves as a recipe says: what a RayService and `serve deploy` take."""

from dataclasses import replace
from typing import Any

from drillyard.core.contract import ModelRef
from serving.builders import Arguments
from serving.clusters import Cluster
from serving.options import (
    FRONT_DEPLOYMENT,
    FRONT_ROUTE,
    LOGGING,
    MODEL_DEPLOYMENT,
    grpc_options,
    http_options,
    model_route,
)
from serving.recipes import FRONT, ServeConfig

# On a laptop the front reserves nothing. Here it must not land on the head, whose node may be lost, and has no CPU.
_FRONT_CPUS = 0.1


def serve_config(cluster: Cluster) -> dict[str, Any]:
    """As plain values, for YAML or JSON (https://docs.ray.io/en/latest/serve/production-guide/config.html)."""
    config = cluster.config
    return {
        "proxy_location": "EveryNode",
        "http_options": http_options(config.host, config),
        "grpc_options": grpc_options(config),
        "logging_config": dict(LOGGING),
        "applications": [*(_model(ref, cluster) for ref in config.models), _front(cluster)],
    }


def _model(ref: ModelRef, cluster: Cluster) -> dict[str, Any]:
    return {
        "name": ref.name,
        "route_prefix": model_route(ref.name),
        "import_path": "serving.builders:model",
        "args": _arguments(replace(cluster.config, models=(ref,))),
        "deployments": [{"name": MODEL_DEPLOYMENT, "max_surge_percent": cluster.surge_percent}],
    }


def _front(cluster: Cluster) -> dict[str, Any]:
    deployment = {
        "name": FRONT_DEPLOYMENT,
        "num_replicas": cluster.front_replicas,
        "max_surge_percent": 100,
        "ray_actor_options": {"num_cpus": _FRONT_CPUS},
    }
    return {
        "name": FRONT,
        "route_prefix": FRONT_ROUTE,
        "import_path": "serving.builders:front",
        "args": _arguments(
            replace(cluster.config, replicas=1, autoscaling=None)
        ),  # of the models; so it need not change
        "deployments": [deployment],
    }


def _arguments(config: ServeConfig) -> dict[str, Any]:
    """What differs from the defaults of ServeConfig; the image that reads it has the rest."""
    return Arguments(config=config).model_dump(mode="json", exclude_defaults=True)
