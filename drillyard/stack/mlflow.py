"""MLflow's server on a database and an artifact store that only it can reach: clients need its address and no key."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from drillyard.core import ports
from drillyard.core.errors import UsageError
from drillyard.core.settings import NO_TELEMETRY, QUIET_LIBRARIES
from drillyard.stack.server import Server, running

_HOST = "127.0.0.1"


@contextmanager
def mlflow(folder: Path, port: int, stores: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Serve on `port` what `stores` name, in MLflow's own environment variables.

    Raises UsageError when the port is taken, ServiceUnreachable when it does not start: with an older database it says
    in its log that `mlflow db upgrade` must come first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if reason := ports.refusal(_HOST, port):
        raise UsageError("port", port, f"a free port of {_HOST} ({reason})")
    server = Server(
        name="MLflow",
        # The stores' addresses come by the environment: as arguments every user would see them.
        command=(sys.executable, "-m", "mlflow", "server", "--host", _HOST, "--port", str(port), "--workers", "1"),
        folder=folder,
        ready=lambda: _answers(port),
        environment={
            **NO_TELEMETRY,
            **QUIET_LIBRARIES,
            **stores,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # workers for evaluations, which nobody starts here
        },
    )
    with running(server) as process:
        yield process


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{_HOST}:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
