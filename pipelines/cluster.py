"""A Ray cluster for training and scoring: the one at RAY_ADDRESS, or a private one on loopback that ends with us."""

import logging
import os
import secrets
import shlex
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drillyard.core import processes, secret
from drillyard.core.errors import ServiceUnreachable, UsageError
from drillyard.core.processes import MARK
from drillyard.core.settings import NO_TELEMETRY, Settings

OBJECT_STORE_BYTES = 1_000_000_000  # holds the training arrays once for all workers of the node


@contextmanager
def ray_cluster(settings: Settings, *, object_store_bytes: int = OBJECT_STORE_BYTES) -> Iterator[None]:
    """Connect, and on leaving disconnect (a private cluster's processes end). Raises ServiceUnreachable.

    `object_store_bytes` is for a private cluster; one that is joined has what it has.

    Enter it before anything imports ray, which reads its environment then.
    """
    for key, value in NO_TELEMETRY.items():
        os.environ.setdefault(key, value)
    folder = Path(tempfile.mkdtemp(prefix="dy-", dir="/tmp"))  # short: unix socket paths end at 107 bytes
    try:
        if settings.ray_address is None:
            _start(folder, object_store_bytes)
        else:
            _join(settings.ray_address)
        yield
    finally:
        import ray

        ray.shutdown()
        processes.end(folder)  # now and then a process of Ray hangs while it exits, and would stay
        os.environ.pop(MARK, None)
        shutil.rmtree(folder, ignore_errors=True)


def cpus() -> int:
    """What the cluster has. Ray must be initialised."""
    import ray

    return int(ray.cluster_resources().get("CPU", 0))


def check_room(workers: int) -> bool:
    """Whether each worker gets a GPU. Ray must be initialised. Raises UsageError when the cluster has too few CPUs."""
    import ray

    if workers < 1 or workers > cpus():
        raise UsageError("workers", workers, f"1 to {cpus()}, the cluster's CPUs")
    return bool(ray.cluster_resources().get("GPU", 0) >= workers)


def _start(folder: Path, object_store_bytes: int) -> None:
    token = secret.write(folder / "token", secrets.token_hex(32))
    os.environ.update(
        {
            MARK: str(folder),
            "SPT_NOENV": "1",  # Ray renames its processes; without this it overwrites the environment with the mark
            "RAY_AUTH_MODE": "token",  # whatever port Ray opens, nobody without the token can use it
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's name for "single machine": it binds loopback
            "RAY_worker_niceness": "0",  # at Ray's 15, its own helpers on the same cores go before the training
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # and does not warn about it
        }
    )
    import ray

    on_sigterm = signal.getsignal(signal.SIGTERM)
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=object_store_bytes,
        _temp_dir=str(folder / "ray"),
        # Ray hands the interpreter's path to a shell as it is. Said so where that matters only: it slows each start.
        runtime_env={"py_executable": quoted} if (quoted := shlex.quote(sys.executable)) != sys.executable else None,
    )
    signal.signal(signal.SIGTERM, on_sigterm)  # ray put its own there


def _join(address: str) -> None:
    host, _, port = address.rpartition(":")
    if address != "auto" and not (host and port.isdigit()):
        raise UsageError("RAY_ADDRESS", address, "HOST:PORT or auto")
    try:
        if address != "auto":
            socket.create_connection((host, int(port)), timeout=5).close()  # Ray itself tries for minutes
        import ray

        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise ServiceUnreachable("Ray", address, f"check RAY_ADDRESS ({error})") from error
