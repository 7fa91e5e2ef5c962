"""All servers together, for as long as somebody needs them."""

import fcntl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from drillyard.core.errors import ServiceUnreachable, UsageError
from drillyard.stack.mlflow import mlflow
from drillyard.stack.postgres import postgres
from drillyard.stack.redis import redis
from drillyard.stack.s3 import s3


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What to set to use it. No value is a secret: they lie in files that are named here."""

    environment: dict[str, str]  # for `drillyard`, and for a backup of what MLflow keeps
    ray_environment: dict[str, str]  # for `ray start --head` only: any other Ray would share its state too
    processes: dict[str, "subprocess.Popen[bytes]"]

    def wait(self) -> None:
        """Until one of them ends, which none should. Raises ServiceUnreachable."""
        while True:
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise ServiceUnreachable(name, f"process {process.pid}", f"it ended with {process.returncode}")
            time.sleep(1)


@contextmanager
def run(folder: Path, *, port: int, say: Callable[[str], None]) -> Iterator[Stack]:
    """Start everything with its data below `folder`, MLflow on `port`; when the block is left nothing runs any more.

    Raises ProgramMissing, UsageError (another stack of that folder runs, the port is taken), ServiceUnreachable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as started:
        lock = started.enter_context((folder / "lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError("DRILLYARD_HOME", str(folder.parent), "a home whose stack does not run already") from None
        say("starting PostgreSQL")
        database = started.enter_context(postgres(folder / "postgres"))
        say("starting Redis")
        state = started.enter_context(redis(folder / "redis"))
        say("starting SeaweedFS")
        objects = started.enter_context(s3(folder / "s3"))
        say("starting MLflow")
        stores = {
            "MLFLOW_BACKEND_STORE_URI": database.uri,
            "MLFLOW_ARTIFACTS_DESTINATION": objects.uri,
            **objects.environment,
        }
        server = started.enter_context(mlflow(folder / "mlflow", port, stores))
        yield Stack(
            environment={"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}", **stores},
            ray_environment=state.ray_environment,
            processes={
                "PostgreSQL": database.process,
                "Redis": state.process,
                "SeaweedFS": objects.process,
                "MLflow": server,
            },
        )
