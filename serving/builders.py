"""What the import paths of a Ray Serve config file name: builders of applications, with typed arguments.

Ray calls them once on some node, in a task, whenever their arguments change; replicas then fetch what the builder has
resolved. MLFLOW_TRACKING_URI names the registry, DRILLYARD_HOME the folder for fetched models and counts.
"""

import os
from pathlib import Path
from typing import Any

from drillyard.core.contract import Frozen
from drillyard.core.settings import Settings
from serving.artifact import fetch_all
from serving.recipes import ServeConfig

METRICS_FOLDER = "metrics"  # below DRILLYARD_HOME


class Arguments(Frozen):
    """The `args` of an application; a key that is not a setting is an error."""

    config: ServeConfig


def model(arguments: Arguments) -> Any:
    """The application of the one model in the configuration. Raises ModelNotFound, ServiceUnreachable."""
    from serving.app import model_application

    config, settings = arguments.config, Settings.from_env(os.environ)
    (found,) = fetch_all(config.models, settings)
    return model_application(
        found,
        config,
        tracking_uri=settings.tracking_uri,
        cache=settings.models,
        metrics_folder=metrics_folder(settings),
    )


def front(arguments: Arguments) -> Any:
    """The application of all routes that belong to no single model. Raises ModelNotFound, ServiceUnreachable."""
    from serving.app import front_application

    config, settings = arguments.config, Settings.from_env(os.environ)
    return front_application(fetch_all(config.models, settings), config, metrics_folder=metrics_folder(settings))


def metrics_folder(settings: Settings) -> Path:
    """Where the processes of one node count."""
    return settings.home / METRICS_FOLDER
