"""Wiring only: verified models to Ray Serve applications.

One application a model at `/v2/models/<name>`, which HAProxy routes to directly, and the front at `/` for the rest.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import serve

from serving.artifact import LocalModel
from serving.front import Front
from serving.options import FRONT_DEPLOYMENT, FRONT_ROUTE, LOGGING, MODEL_DEPLOYMENT, model_route
from serving.recipes import FRONT, ServeConfig
from serving.replica import ModelReplica


@dataclass(frozen=True, kw_only=True)
class Target:
    """One application, its name and where its routes begin."""

    app: Any
    name: str
    route_prefix: str


def build(
    models: tuple[LocalModel, ...], config: ServeConfig, *, tracking_uri: str, cache: Path, metrics_folder: Path
) -> list[Target]:
    """The applications that serve these exact versions."""
    targets = [
        Target(
            app=model_application(model, config, tracking_uri=tracking_uri, cache=cache, metrics_folder=metrics_folder),
            name=model.card.name,
            route_prefix=model_route(model.card.name),
        )
        for model in models
    ]
    front = front_application(models, config, metrics_folder=metrics_folder)
    return [*targets, Target(app=front, name=FRONT, route_prefix=FRONT_ROUTE)]


def model_application(
    model: LocalModel, config: ServeConfig, *, tracking_uri: str, cache: Path, metrics_folder: Path
) -> Any:
    """The application of one model; its replicas fetch the same version wherever they run."""
    return _model_deployment(config).bind(model.ref, config, tracking_uri, str(cache), str(metrics_folder))


def front_application(models: tuple[LocalModel, ...], config: ServeConfig, *, metrics_folder: Path) -> Any:
    """The application of all routes that belong to no single model."""
    return _front_deployment(config).bind(tuple(model.card for model in models), config, str(metrics_folder))


def deploy(targets: list[Target]) -> None:
    """Start all at once and return when all run. Raises RuntimeError when one cannot."""
    serve.run_many([serve.RunTarget(target.app, target.name, target.route_prefix) for target in targets])


def _model_deployment(config: ServeConfig) -> Any:
    return serve.deployment(serve.ingress()(ModelReplica)).options(
        name=MODEL_DEPLOYMENT,
        **_scaling(config),
        ray_actor_options={"num_cpus": config.cpus_per_replica},
        max_ongoing_requests=config.max_ongoing_requests,
        max_queued_requests=config.max_queued_requests,
        health_check_period_s=config.health_check_period_s,
        health_check_timeout_s=max(5.0, config.health_check_period_s),
        graceful_shutdown_timeout_s=config.drain_s,
        logging_config=LOGGING,
    )


def _scaling(config: ServeConfig) -> dict[str, Any]:
    """Serve's options for the number of replicas."""
    scaling = config.autoscaling
    if scaling is None:
        return {"num_replicas": config.replicas}
    serve_names = {
        "min_replicas": config.replicas,
        "initial_replicas": config.replicas,
        "max_replicas": scaling.max_replicas,
        "target_ongoing_requests": scaling.target_ongoing_requests,
        "look_back_period_s": scaling.look_back_s,
        "metrics_interval_s": scaling.push_s,
        "upscale_delay_s": scaling.upscale_delay_s,
        "downscale_delay_s": scaling.downscale_delay_s,
    }
    return {"autoscaling_config": serve_names}


def _front_deployment(config: ServeConfig) -> Any:
    return serve.deployment(serve.ingress()(Front)).options(
        name=FRONT_DEPLOYMENT,
        num_replicas=1,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=config.max_ongoing_requests,
        graceful_shutdown_timeout_s=config.drain_s,
        logging_config=LOGGING,
    )
