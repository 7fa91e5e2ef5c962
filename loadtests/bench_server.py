"""A server of this home for the length of a benchmark, and the folder its drills take their requests from."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drillyard.core.settings import NO_TELEMETRY, Settings


@contextmanager
def server(model: str, *, port: int, replicas: int) -> Iterator[None]:
    """`drillyard serve up`, and `serve down` at the end. Raises CalledProcessError when it does not start."""
    command = [sys.executable, str(Path(sys.executable).parent / "drillyard"), "serve"]
    environment = {**os.environ, **NO_TELEMETRY}
    up = [*command, "up", model, "--detach", "--replicas", str(replicas), "--port", str(port)]
    subprocess.run(up, env=environment, check=True)
    try:
        yield
    finally:
        subprocess.run([*command, "down"], env=environment, check=True)


def samples(settings: Settings, model: str) -> Path:
    """The folder of the served version: its samples are the requests, and its answers the right ones."""
    state = json.loads(settings.server_state.read_bytes())
    return settings.models / model / str(state["models"][model])
