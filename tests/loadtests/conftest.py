"""Samples with their card, plans, and the delay server as a process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from drillyard.core.slo import DrillPlan, Slo
from loadtests.selftest import model
from loadtests.selftest.checks import delaying
from tests.loadtests.support.builders import make_plan
from tests.loadtests.support.stand_ins import Server


@pytest.fixture
def plan() -> DrillPlan:
    """A plan with p50 10 ms, p99 25 ms and 1% of errors as its promise."""
    slo = Slo(p50_ms=10, p99_ms=25, max_error_rate=0.01)
    return make_plan().model_copy(update={"slo": slo})


@pytest.fixture(scope="session")
def arrays() -> dict[str, np.ndarray]:
    return model.arrays()


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model.write(tmp_path_factory.mktemp("samples"))


@pytest.fixture
def delay_server() -> Iterator[Callable[..., str]]:
    """Start a delay server with the given arguments; its URL. All are ended after the test."""
    with ExitStack() as stack:
        yield lambda *args: stack.enter_context(delaying(*args))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A home whose server's processes are sleeping children."""
    home = tmp_path / "home"
    home.mkdir()
    server = Server(home)
    yield server
    server.end()
