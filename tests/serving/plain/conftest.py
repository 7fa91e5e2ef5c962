"""One server, set up as `drillyard serve up` sets it up, for every module here: its start takes most of their time.

Tests leave it as they find it: the two models' first versions as champions, and every replica alive.
"""

from collections.abc import Iterator

import pytest

from drillyard.core.ports import free_port
from drillyard.core.settings import Settings
from serving import lifecycle
from serving.recipes import laptop
from serving.state import ServerState
from tests.serving.conftest import home_with_both_models


@pytest.fixture(scope="package")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The server's home."""
    return home_with_both_models(tmp_path_factory)


@pytest.fixture(scope="package")
def server(settings: Settings) -> Iterator[ServerState]:
    told: list[str] = []
    config = laptop("fraud", "vision", port=free_port(), grpc_port=free_port())
    state = lifecycle.start_detached(config, settings, on_progress=told.append)
    assert told[-1] == "ready"
    assert state.grpc_address == f"127.0.0.1:{config.grpc_port}"
    yield state
    lifecycle.stop(settings)
