"""A model on every node of a test cluster, behind one address."""

import hashlib
import json
import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drillyard.core.errors import InvalidMeasurement
from drillyard.core.settings import Settings
from loadtests.bench.server import samples
from loadtests.nodes.balancer import balancer
from loadtests.nodes.cluster import Cluster
from loadtests.nodes.target import ClusterTarget

PORT = 8000
REPLICAS = 3
CPUS = 2  # of each node, so that two nodes have room for what three did
# Of every node. A request that was given to a lost node is asked of another within this many seconds.
ENVIRONMENT = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_HAPROXY_NBTHREAD": "1",
    "RAY_SERVE_HAPROXY_RETRIES": "3",
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response junk-response response-timeout",
    "RAY_SERVE_HAPROXY_TIMEOUT_CONNECT_S": "1",
    "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": "2",
    "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
    "RAY_SERVE_LOG_TO_STDERR": "0",
}


@dataclass(frozen=True, kw_only=True)
class Served:
    """What a drill needs."""

    target: ClusterTarget
    samples: Path
    api_key: str


@contextmanager
def served(cluster: Cluster, settings: Settings, model: str, folder: Path) -> Iterator[Served]:
    """The champion of that name with a replica and a proxy on each node. Raises InvalidMeasurement."""
    key = secrets.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    log = folder / "serve-up.log"
    up = cluster.drillyard(
        log,
        *("serve", "up", model, "--detach", "--host", "0.0.0.0", "--port", str(PORT), "--grpc-port", "0"),
        *("--replicas", str(REPLICAS)),
        DRILLYARD_HOME=str(settings.home),
        MLFLOW_TRACKING_URI=settings.tracking_uri,
        DRILLYARD_SERVER_KEYS=f"drill:{digest}",
    )
    if up.wait():
        raise InvalidMeasurement(f"the cluster does not serve: {log.read_text(errors='replace').strip()[-1000:]}")
    state = json.loads(settings.server_state.read_bytes())
    try:
        with balancer([node.host.address for node in cluster.nodes], PORT, folder) as url:
            target = ClusterTarget(
                settings=settings,
                run_dir=Path(state["run_dir"]),
                url=url,
                model=model,
                models=state["models"],
                cluster=cluster,
            )
            yield Served(target=target, samples=samples(settings, model), api_key=key)
    finally:
        _forget(state, settings)


def _forget(state: dict[str, Any], settings: Settings) -> None:
    """The supervisor on the head, which would wait for nodes that are not there any more, and what it left."""
    with suppress(ProcessLookupError):
        os.kill(state["pid"], signal.SIGKILL)
    shutil.rmtree(state["run_dir"], ignore_errors=True)
    settings.server_state.unlink(missing_ok=True)
