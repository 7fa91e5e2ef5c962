"""Samples with their card, plans, and the delay server as a process."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from drillyard.core.slo import DrillPlan, Slo
from tests.loadtests.support.builders import make_card, make_plan
from tests.loadtests.support.model import FEATURES, answer
from tests.loadtests.support.stand_ins import Server

SUPPORT = Path(__file__).parent / "support"


@pytest.fixture
def plan() -> DrillPlan:
    """A plan with p50 10 ms, p99 25 ms and 1% of errors as its promise."""
    slo = Slo(p50_ms=10, p99_ms=25, max_error_rate=0.01)
    return make_plan().model_copy(update={"slo": slo})


@pytest.fixture(scope="session")
def arrays() -> dict[str, np.ndarray]:
    features = np.random.default_rng(0).random((64, FEATURES), dtype=np.float32)  # (samples, features)
    answers = [answer(row.tolist()) for row in features]
    return {
        "input.features": features,
        "output.score": np.array([a["score"][0] for a in answers], dtype=np.float32),
        "output.is_fraud": np.array([a["is_fraud"][0] for a in answers]),
        "output.reasons": np.array([a["reasons"] for a in answers], dtype=np.float32),
        "truth": np.zeros(64, dtype=bool),
    }


@pytest.fixture(scope="session")
def samples(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    np.savez(folder / "samples.npz", **arrays)
    digest = hashlib.sha256((folder / "samples.npz").read_bytes()).hexdigest()
    (folder / "card.json").write_text(make_card(samples_sha256=digest).model_dump_json())
    return folder


@pytest.fixture
def delay_server() -> Iterator[Callable[..., str]]:
    """Start a delay server with the given arguments; its URL. All are ended after the test."""
    servers: list[subprocess.Popen[str]] = []

    def start(*args: object) -> str:
        command = [sys.executable, str(SUPPORT / "delay_server.py"), *map(str, args)]
        server = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )
        servers.append(server)
        assert server.stdout is not None
        return f"http://127.0.0.1:{int(server.stdout.readline())}"

    yield start
    for server in servers:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A home whose server's processes are sleeping children."""
    home = tmp_path / "home"
    home.mkdir()
    server = Server(home)
    yield server
    server.end()
