"""A server on the nodes of a Ray cluster, each in a container: recipes, and what a node needs.

On a laptop the supervisor writes HAProxy's wrapper and sets the environment when it starts. Here every node gets them
with its container, at these places.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from drillyard.core.contract import ModelRef
from drillyard.core.settings import NO_TELEMETRY, QUIET_LIBRARIES
from serving import haproxy
from serving.environment import MODE, haproxy_places, message_limits, proxying, tuning
from serving.recipes import Autoscaling, ServeConfig

HOME = Path("/var/lib/drillyard")  # DRILLYARD_HOME: fetched models and counts
RUN = Path("/run/drillyard")  # HAProxy's sockets and notes, and the log
HAPROXY_FOLDER = RUN / "haproxy"
WRAPPER, ERROR_PAGE = Path("/etc/drillyard/haproxy/haproxy"), Path("/etc/drillyard/haproxy") / haproxy.PAGE
KEYS_FILE = Path("/etc/drillyard/keys/api-keys")  # of a mounted secret, which may change while the server runs
HAPROXY = "/usr/local/bin/haproxy"  # the image links Ray's own to it
# 200 while this node's HAProxy knows a replica that is up. It says nothing but yes or no, and the kubelet asks it.
HEALTH_PATH = "/-/healthz"
NODE_METRICS_PORT = 9464  # see node_metrics.py


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """How a server runs on several nodes."""

    config: ServeConfig
    front_replicas: int = 1
    # Replicas that may be added while versions change, in percent; none old ends before a new one answers. Each needs a
    # free CPU of the cluster.
    surge_percent: int = 100


def small(*models: str) -> Cluster:
    """One replica of everything, for a cluster on a laptop. Raises UsageError."""
    config = ServeConfig(
        models=tuple(map(ModelRef.parse, models)),
        host="0.0.0.0",
        keys_file=KEYS_FILE,
        log_file=RUN / "logs" / "serving.jsonl",
    )
    return Cluster(config=config)


def spread(*models: str) -> Cluster:
    """Three replicas of each model and two fronts, so that a node may be lost. Raises UsageError."""
    return Cluster(config=replace(small(*models).config, replicas=3), front_replicas=2, surge_percent=34)


def elastic(*models: str) -> Cluster:
    """The same with up to twelve replicas of each model, as the load asks for. Raises UsageError."""
    base = spread(*models)
    return replace(base, config=replace(base.config, autoscaling=Autoscaling(max_replicas=12)))


RECIPES = MappingProxyType({"small": small, "spread": spread, "elastic": elastic})


def common_environment() -> Mapping[str, str]:
    """Of every container of this project, whatever runs in it."""
    return {**NO_TELEMETRY, **QUIET_LIBRARIES, "DRILLYARD_HOME": str(HOME)}


def node_environment(config: ServeConfig) -> Mapping[str, str]:
    """What the nodes that serve have besides; the same for all recipes."""
    return {
        **tuning(config),
        **MODE,
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(WRAPPER),
        **haproxy_places(HAPROXY_FOLDER),
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serving.hook.on_a_cluster",
        **message_limits(config),
    }


def haproxy_wrapper(config: ServeConfig) -> str:
    """The text of WRAPPER: queue bounds, deadlines, gRPC routing and errors as on a laptop."""
    listener, queue, routing = proxying(config)
    listener = replace(listener, open_path=HEALTH_PATH)
    return haproxy.script(HAPROXY_FOLDER, ERROR_PAGE, HAPROXY, listener, queue, routing)
