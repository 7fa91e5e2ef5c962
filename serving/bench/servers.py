"""Every server of the comparison, each in its best documented configuration for two cores.

A peer answers rows by input name in JSON at its own path, and the open inference protocol's JSON where the project's
load generator asks for it.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from drillyard.core.contract import MODEL_FILE
from drillyard.core.ports import free_port
from drillyard.core.settings import Settings
from serving import lifecycle
from serving.artifact import LocalModel
from serving.bench import commands, environments
from serving.bench.commands import Launch
from serving.bench.forms import NATURAL, PROTOCOL
from serving.bench.peers.model import MODEL, PATH
from serving.bench.running import Running, process, run_folder
from serving.bench.workload import Form, WrongAnswerError
from serving.recipes import laptop

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What every server stands on: the model, the bench's own home, and where peers' environments lie."""

    model: LocalModel
    settings: Settings
    say: Say

    @property
    def infer_path(self) -> str:
        """The protocol's route of the model."""
        return f"/v2/models/{self.model.card.name}/infer"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A way to serve the model; `start` yields once the process runs, which is before it answers."""

    name: str
    setup: str  # for people: versions, processes, what is turned on or off
    form: Form  # of one row
    path: str | None  # of that form; None: the protocol's route
    speaks_binary: bool = False  # the protocol's binary tensor extension
    start: Callable[[Ground], AbstractContextManager[Running]]


def all_servers() -> dict[str, Server]:
    """By name, in the order of the tables."""
    found = [
        *(ours(replicas) for replicas in (1, 2)),
        _peer("fastapi", "uvicorn, 2 workers, uvloop, httptools, orjson, no access log", commands.fastapi),
        replace(
            _peer("litserve", "2 workers, 2 HTTP processes, fast queue, no access log", commands.litserve),
            path=None,  # it has one route, which takes both forms
        ),
        _peer("bentoml", "2 workers, async methods, no access log, no metrics, uvloop, httptools", commands.bentoml),
        replace(
            _peer("mlserver", "runtime in the server's process, no metrics, no gzip, uvloop", commands.mlserver),
            form=PROTOCOL,
            path=None,
        ),
        _ray_default(),
    ]
    return {server.name: server for server in found}


def ours(replicas: int) -> Server:
    """This project's server with so many replicas of one thread."""

    @contextmanager
    def start(ground: Ground) -> Iterator[Running]:
        config = replace(laptop(str(ground.model.ref), port=free_port()), replicas=replicas)
        state = lifecycle.start_detached(config, ground.settings, on_progress=lambda _: None)
        try:
            yield Running(url=state.url, run_dir=state.run_dir)
        finally:
            lifecycle.stop(ground.settings)

    plural = "replica" if replicas == 1 else "replicas"
    setup = f"Ray Serve, HAProxy with one thread, {replicas} {plural}"
    return Server(name=f"drillyard-{replicas}", setup=setup, form=PROTOCOL, path=None, speaks_binary=True, start=start)


def behind_python_proxy() -> Server:
    """This project's applications with one replica, behind Serve's Python proxy."""

    @contextmanager
    def start(ground: Ground) -> Iterator[Running]:
        words = [sys.executable, "-m", "serving.bench.python_proxy", str(free_port()), str(ground.model.ref)]
        child = subprocess.Popen([*words, ground.settings.model_dump_json()], stdout=subprocess.DEVNULL)
        try:
            while (state := lifecycle.status(ground.settings)) is None or state.stage != "ready":
                if child.poll() is not None:
                    raise WrongAnswerError(f"it ended with code {child.returncode} while starting")
                time.sleep(0.1)
            yield Running(url=state.url, run_dir=state.run_dir)
        finally:
            lifecycle.stop(ground.settings)
            child.wait()

    setup = "Ray Serve, its Python proxy, 1 replica"
    return Server(name="python-proxy", setup=setup, form=PROTOCOL, path=None, speaks_binary=True, start=start)


def _peer(name: str, setup: str, command: Callable[[Launch], list[str]]) -> Server:
    """A peer whose package, environment and name are the same word."""

    @contextmanager
    def start(ground: Ground) -> Iterator[Running]:
        binaries = environments.prepare(name, ground.settings.cache, ground.say)
        port = free_port()
        with run_folder() as folder:
            words = command(Launch(binaries=binaries, port=port, folder=folder, model=ground.model.card.name))
            with process(words, port=port, folder=folder, environment=_environment(ground, folder)) as running:
                yield running

    version = environments.pinned(name, name)
    return Server(name=name, setup=f"{name} {version}: {setup}", form=NATURAL, path="/predict", start=start)


def _environment(ground: Ground, folder: Path) -> dict[str, str]:
    """Where the model is; and BentoML neither reports its use nor writes into the user's home."""
    bentoml = {"BENTOML_DO_NOT_TRACK": "true", "BENTOML_HOME": str(folder / "bentoml")}
    return {MODEL: str(ground.model.path / MODEL_FILE), PATH: ground.infer_path, **bentoml}


def _ray_default() -> Server:
    @contextmanager
    def start(ground: Ground) -> Iterator[Running]:
        port = free_port()
        with run_folder() as folder:
            words = [sys.executable, "-m", "serving.bench.peers.ray_default", str(port), str(folder / "ray")]
            with process(words, port=port, folder=folder, environment=_environment(ground, folder)) as running:
                yield running

    setup = "ray, as its quick start has it: FastAPI route, Serve's Python proxy, 2 replicas, default settings"
    return Server(name="ray-default", setup=setup, form=NATURAL, path="/predict", start=start)
