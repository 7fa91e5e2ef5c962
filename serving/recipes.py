"""Whole serving configurations; a variant is a function that returns one."""

from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

from drillyard.core.contract import ModelRef
from drillyard.core.errors import UsageError

FRONT = "Front"  # the application of all routes that belong to no single model, whose names never start with a capital


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How requests are gathered into calls of the model."""

    max_rows: int = 32  # of one call; a single request may hold more and is then a call of its own
    max_wait_s: float = 0.0  # how long the first request of a batch waits for others while the model is idle
    sizes: tuple[int, ...] = ()  # ascending; a batch is filled up to the next of these, for runtimes tuned to sizes
    offload_s: float = 0.0003  # calls expected to take longer leave the event loop; a shorter one costs less than that

    def __post_init__(self) -> None:
        if self.max_rows < 1:
            raise UsageError("batching.max_rows", self.max_rows, "1 or more")
        if self.sizes and (any(a >= b for a, b in pairwise(self.sizes)) or self.sizes[-1] < self.max_rows):
            raise UsageError("batching.sizes", self.sizes, f"ascending sizes, the last at least {self.max_rows}")

    def size(self, rows: int) -> int:
        """Rows of the call that holds so many."""
        return next((size for size in self.sizes if size >= rows), rows)


@dataclass(frozen=True, kw_only=True)
class Autoscaling:
    """When a model gets more replicas than its least number, and when it loses them again. Raises UsageError."""

    max_replicas: int = 2
    # Of each replica, on average. With random arrivals and equal service times (M/D/1) 4 are under way at 0.88 of what
    # a replica can do; far below max_ongoing_requests, since bursts beyond that are refused while a replica starts.
    target_ongoing_requests: float = 4.0
    push_s: float = 0.5  # between two reports of a replica
    look_back_s: float = 2.0  # over which requests under way are averaged
    upscale_delay_s: float = 1.0  # how long there must be too many before replicas are added
    downscale_delay_s: float = 60.0  # how long there must be too few before one is ended

    def __post_init__(self) -> None:
        for name in ("max_replicas", "target_ongoing_requests", "push_s", "look_back_s"):
            if not getattr(self, name) > 0:
                raise UsageError(f"autoscaling.{name}", getattr(self, name), "a number above 0")
        for name in ("upscale_delay_s", "downscale_delay_s"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"autoscaling.{name}", getattr(self, name), "0 or more seconds")


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """How a server runs. Every limit guards against a kind of request named in the tests of bad input."""

    models: tuple[ModelRef, ...]  # one Ray Serve application each
    host: str = "127.0.0.1"  # where HAProxy listens; beyond loopback only with API keys
    port: int = 8000  # of every HTTP route
    grpc_port: int = 8001  # of the inference protocol over gRPC; 0 turns it off
    keys_file: Path | None = None  # of the API keys that every route but live and ready then asks for
    keys: tuple[str, ...] = ()  # further API keys, as NAME:SHA256
    tls_cert: Path | None = None  # certificate chain in PEM form; HAProxy then speaks TLS only
    tls_key: Path | None = None  # its private key, in PEM form and not encrypted
    log_file: Path | None = None  # JSON lines of every process; the supervisor names one below DRILLYARD_HOME
    access_log_share: float = 0.0  # of requests that leave a line in the log; 1 is every one
    replicas: int = 1  # processes for each model; with autoscaling, the least
    autoscaling: Autoscaling | None = None  # None: always that number
    cpus_per_replica: float = 1.0  # reserved in Ray; its whole part is the number of onnxruntime threads
    max_ongoing_requests: int = 64  # a replica is given at most so many at once, the rest wait in HAProxy
    queue_timeout_s: float = 0.02  # how long they wait there before they are answered 503
    answer_timeout_s: float = 3.0  # how long a replica may take before its request is given to another, then 503
    replays: int = 3  # how often a request whose replica was lost is given to another
    max_queued_requests: int = 512  # requests from the front wait in it for a place; above so many, 503
    max_body_bytes: int = 16 * 2**20  # larger bodies are answered 413 unread
    max_rows: int = 4096  # rows of one request
    max_pixels: int = 4096 * 4096  # of an image, known from its header before it is decoded
    health_check_period_s: float = 5.0  # between two real inferences of a replica
    max_growth_bytes: int = 2**30  # of a replica's memory since it was ready; beyond, its health check fails
    batching: Batching = field(default_factory=Batching)
    drain_s: float = 5.0  # how long answers under way may take when the server ends
    watch_s: float | None = None  # between two looks at the registry, to follow its champions; None: only when told
    start_timeout_s: float = 120.0  # from the first process to ready
    wrong_on_purpose: bool = False  # of the issue pack (mistakes.py): may break what would otherwise be refused
    object_store_bytes: int = 200 * 2**20  # Ray's shared memory; requests do not pass through it

    def __post_init__(self) -> None:
        if not self.models:
            raise UsageError("models", "", "at least one NAME, NAME@ALIAS or NAME/VERSION")
        names = [ref.name for ref in self.models]
        if len(set(names)) != len(names):
            raise UsageError("models", ", ".join(names), "each name once")
        if not 1 <= self.port <= 65535:
            raise UsageError("port", self.port, "a port number from 1 to 65535")
        if not 0 <= self.access_log_share <= 1:
            raise UsageError("access_log_share", self.access_log_share, "a share from 0 (none) to 1 (every request)")
        if self.most_replicas < self.replicas:
            raise UsageError("autoscaling.max_replicas", self.most_replicas, f"at least replicas, {self.replicas}")
        if self.autoscaling is not None and self.autoscaling.target_ongoing_requests > self.max_ongoing_requests:
            given, most = self.autoscaling.target_ongoing_requests, self.max_ongoing_requests
            raise UsageError("autoscaling.target_ongoing_requests", given, f"at most max_ongoing_requests, {most}")
        if self.max_growth_bytes < 1:
            raise UsageError("max_growth_bytes", self.max_growth_bytes, "1 byte or more")
        if self.watch_s is not None and not self.watch_s >= 1:
            raise UsageError("watch", self.watch_s, "at least 1 second")
        if not 0 <= self.grpc_port <= 65535 or self.grpc_port == self.port:
            raise UsageError(
                "grpc-port", self.grpc_port, "a port number up to 65535 that is not the HTTP port, or 0: none"
            )
        if not is_loopback(self.host) and not self.asks_for_keys:
            remedy = "a loopback address, or API keys beside it: make one with `drillyard serve key add NAME`"
            raise UsageError("host", self.host, remedy)
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UsageError("tls", str(self.tls_cert or self.tls_key), "a certificate and its private key, or neither")

        if self.max_ongoing_requests <= self.batching.max_rows and not self.wrong_on_purpose:
            valid = (
                f"more than batching.max_rows, {self.batching.max_rows}: else batches of one-row requests never fill"
            )
            raise UsageError("max_ongoing_requests", self.max_ongoing_requests, valid)

    @property
    def most_replicas(self) -> int:
        """Replicas that a model may have at once."""
        return self.replicas if self.autoscaling is None else self.autoscaling.max_replicas

    @property
    def threads(self) -> int:
        """onnxruntime threads of one replica."""
        return max(1, int(self.cpus_per_replica))

    @property
    def asks_for_keys(self) -> bool:
        """Whether every route but live and ready asks for an API key."""
        return self.keys_file is not None or bool(self.keys)

    @property
    def url(self) -> str:
        """Where this machine reaches the server over HTTP."""
        scheme = "http" if self.tls_cert is None else "https"
        return f"{scheme}://{self._reachable_host}:{self.port}"

    @property
    def grpc_address(self) -> str | None:
        """Where this machine reaches the server over gRPC, as `host:port`; None when it is off."""
        return f"{self._reachable_host}:{self.grpc_port}" if self.grpc_port else None

    @property
    def _reachable_host(self) -> str:
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address; of names, only localhost is known to be one."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def laptop(*models: str, host: str = "127.0.0.1", port: int = 8000, grpc_port: int = 8001) -> ServeConfig:
    """One single-threaded replica for each model (NAME, NAME@ALIAS or NAME/VERSION): for two cores.

    Raises UsageError.
    """
    return ServeConfig(models=tuple(map(ModelRef.parse, models)), host=host, port=port, grpc_port=grpc_port)


def elastic(
    *models: str, max_replicas: int, host: str = "127.0.0.1", port: int = 8000, grpc_port: int = 8001
) -> ServeConfig:
    """One replica for each model while that is enough, more while requests pile up. Raises UsageError."""
    config = laptop(*models, host=host, port=port, grpc_port=grpc_port)
    return replace(config, autoscaling=Autoscaling(max_replicas=max_replicas))
