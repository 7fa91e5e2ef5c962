"""How each peer is started: its best documented configuration for two cores."""

import json
from dataclasses import dataclass
from pathlib import Path

from drillyard.core.ports import free_port


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What a command is made of."""

    binaries: Path  # of the peer's environment
    port: int
    folder: Path  # private; where settings are written
    model: str  # its name


def fastapi(launch: Launch) -> list[str]:
    """uvicorn with a process a core."""
    words = [str(launch.binaries / "uvicorn"), "serving.bench.peers.fastapi_app:app", "--port", str(launch.port)]
    return [*words, "--workers", "2", "--loop", "uvloop", "--http", "httptools", "--no-access-log"]


def litserve(launch: Launch) -> list[str]:
    """The configuration is in the program, as LitServe's documentation has it."""
    return [str(launch.binaries / "python"), "-m", "serving.bench.peers.litserve_app", str(launch.port)]


def bentoml(launch: Launch) -> list[str]:
    """The configuration is on the service's decorator."""
    words = [str(launch.binaries / "bentoml"), "serve", "serving.bench.peers.bentoml_service:Service"]
    return [*words, "--host", "127.0.0.1", "--port", str(launch.port)]


def mlserver(launch: Launch) -> list[str]:
    """No parallel workers: a queue to another process costs more than a small model does."""
    server = {
        "host": "127.0.0.1",
        "http_port": launch.port,
        "grpc_port": free_port(),
        "debug": False,
        "parallel_workers": 0,
        "metrics_endpoint": None,
        "gzip_enabled": False,
    }
    model = {"name": launch.model, "implementation": "serving.bench.peers.mlserver_model.OnnxModel"}
    (launch.folder / "settings.json").write_text(json.dumps(server))
    (launch.folder / "model-settings.json").write_text(json.dumps(model))
    return [str(launch.binaries / "mlserver"), "start", str(launch.folder)]
