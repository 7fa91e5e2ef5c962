"""A server of this home for the length of a benchmark, and the folder its drills take their requests from."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drillyard.core.settings import Settings
from loadtests.chaos.injections import must


@contextmanager
def server(
    model: str, *, port: int, replicas: int, max_replicas: int | None = None, recipe: str | None = None
) -> Iterator[None]:
    """`drillyard serve up`, and `serve down` at the end. Raises InvalidMeasurement when it does not start."""
    ports = ["--port", str(port), "--grpc-port", str(port + 1)]
    up = ["serve", "up", model, "--detach", "--replicas", str(replicas), *ports]
    if max_replicas is not None:
        up += ["--max-replicas", str(max_replicas)]
    if recipe is not None:
        up += ["--recipe", recipe]
    must(*up)
    try:
        yield
    finally:
        must("serve", "down")


def samples(settings: Settings, model: str) -> Path:
    """The folder of the served version: its samples are the requests, and its answers the right ones."""
    state = json.loads(settings.server_state.read_bytes())
    return settings.models / model / str(state["models"][model])
