"""Real services for the integration tests of training and tracking."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from drillyard.core.ports import free_port
from drillyard.core.settings import NO_TELEMETRY, QUIET_LIBRARIES, Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home and cache of this test's own, the embedded store."""
    env = {"DRILLYARD_HOME": str(tmp_path / "home"), "DRILLYARD_CACHE": str(tmp_path / "cache")}
    return Settings.from_env(env, tmp_path)


@pytest.fixture(scope="session")
def ray_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One private Ray cluster for all tests of the session."""
    from pipelines.cluster import ray_cluster

    home = tmp_path_factory.mktemp("ray-home")
    with ray_cluster(Settings.from_env({"DRILLYARD_HOME": str(home)}, home)):
        yield


class MlflowServer:
    """A real tracking server in a process of its own, that can be killed and brought back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/m.db", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        self._process = subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, **NO_TELEMETRY, **QUIET_LIBRARIES},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.2)
        raise TimeoutError(f"no MLflow server at {self.uri}")

    def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # its workers too
            self._process.wait()
            self._process = None


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path)
    server.start()
    yield server
    server.kill()
