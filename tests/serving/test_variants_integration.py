"""A real server moved between versions under load, and one that loses replicas: two replicas, one start.

Each test goes on where the last ended.
"""

import contextlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from drillyard.cli.app import app
from drillyard.core.contract import CHALLENGER, CHAMPION, MODEL_FILE
from drillyard.core.load import Load as Arrivals
from drillyard.core.ports import free_port
from drillyard.core.settings import Settings
from drillyard.core.slo import DrillPlan, DrillResult, Slo, Strike
from loadtests.chaos import leak
from loadtests.chaos.target import Target
from loadtests.launch import run_drill
from serving import lifecycle
from serving.control import CommandError, call
from serving.recipes import laptop
from serving.rollout import Limits
from serving.state import ServerState, VariantState
from serving.variants import Variants
from tests.support import tiny_models
from tests.support.replicas import replicas

pytestmark = pytest.mark.integration
INFER = "/v2/models/fraud/infer"
SMALL, LARGE = 0.5, 500.0  # each of 29 features; large ones make a broken version fail


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[ServerState]:
    config = replace(
        laptop("fraud", port=free_port(), grpc_port=0), replicas=2, max_growth_bytes=2**28, health_check_period_s=1.0
    )
    with pytest.MonkeyPatch.context() as environment:
        for name, value in leak.environment(os.environ).items():
            environment.setenv(name, value)
        started = lifecycle.start_detached(config, settings, on_progress=print)
    yield started
    lifecycle.stop(settings)


def publish(settings: Settings, version: int, alias: str, *, damage: bool = False, **changes: float) -> None:
    """Register the next version, which must get that number."""
    folder = settings.home / "source" / str(version)
    tiny_models.write_fraud(folder, version, **changes)  # type: ignore[arg-type]
    if damage:
        content = (folder / MODEL_FILE).read_bytes()
        (folder / MODEL_FILE).write_bytes(content[:-7] + b"garbage")
    assert tiny_models.register(settings.tracking_uri, "fraud", folder, alias=alias) == version


def set_alias(settings: Settings, alias: str, version: int) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=settings.tracking_uri, registry_uri=settings.tracking_uri)
    client.set_registered_model_alias("fraud", alias, str(version))


def command(server: ServerState, name: str, **fields: object) -> VariantState:
    found = call(server.run_dir, {"command": name, **fields}, timeout_s=90)
    return VariantState.model_validate(found["fraud"])


def environment(settings: Settings) -> dict[str, str]:
    return {"DRILLYARD_HOME": str(settings.home)}


def typed(settings: Settings, *words: str) -> VariantState:
    """The same as a person types it."""
    result = CliRunner().invoke(app, ["serve", *words, "--quiet", "--json", "-"], env=environment(settings))
    assert result.exit_code == 0, result.output
    return VariantState.model_validate(json.loads(result.stdout[result.stdout.index("{") :])["fraud"])


def try_out(
    server: ServerState, kind: str, version: int, limits: Limits | None = None, **fields: object
) -> VariantState:
    return command(server, kind, model="fraud", version=version, limits=asdict(limits or Limits()), **fields)


def body(key: str, value: float = SMALL) -> bytes:
    tensor = {"name": "features", "datatype": "FP32", "shape": [1, 29], "data": [value] * 29}
    return orjson.dumps({"id": key, "inputs": [tensor]})


class Client:
    """One kept-alive connection."""

    def __init__(self, server: ServerState) -> None:
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=20)

    def ask(self, key: str, value: float = SMALL, path: str = INFER) -> tuple[int, dict[str, object]]:
        self._connection.request("POST", path, body=body(key, value), headers={"content-type": "application/json"})
        response = self._connection.getresponse()
        return response.status, orjson.loads(response.read())


class Load:
    """Clients that ask all the time while the block runs; every status and every answering version is kept."""

    def __init__(self, server: ServerState, value: float = SMALL, clients: int = 3) -> None:
        self.answers: list[tuple[float, int, str]] = []  # when asked, status, version
        self._server, self._value, self._over = server, value, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        client, count = Client(self._server), 0
        while not self._over.is_set():
            asked = time.monotonic()
            try:
                status, answer = client.ask(f"{number}-{count}", self._value)
            except OSError as error:
                self.answers.append((asked, 0, repr(error)))
                client = Client(self._server)
            else:
                self.answers.append((asked, status, str(answer.get("model_version"))))
            count += 1
            time.sleep(0.004)

    def versions(self, since: float = 0.0) -> set[str]:
        return {version for asked, status, version in self.answers if asked >= since and status == 200}

    def failures(self, since: float = 0.0) -> list[tuple[float, int, str]]:
        return [answer for answer in self.answers if answer[1] != 200 and answer[0] >= since]


def wait_until_rolled_back(settings: Settings, within_s: float) -> VariantState:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        current = lifecycle.status(settings)
        assert current is not None
        if current.variants["fraud"].challenger is None:
            return current.variants["fraud"]
        time.sleep(0.2)
    raise AssertionError(f"still there after {within_s} s: {current.variants['fraud']}")


def described_versions(server: ServerState) -> set[str]:
    """The versions that /openapi.json has routes of."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", "/openapi.json")
    document = orjson.loads(connection.getresponse().read())
    return set(re.findall(r"/v2/models/fraud/versions/(\d+)/infer", " ".join(document["paths"])))


def lifecycle_events(server: ServerState) -> set[str]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    return {line for line in text.splitlines() if line.startswith("drillyard_lifecycle_events_total{")}


def test_sync_moves_every_replica_without_a_failed_request_or_a_new_process(
    server: ServerState, settings: Settings
) -> None:
    before = replicas(server.run_dir)
    assert len(before) == 2
    publish(settings, 2, CHAMPION)
    with Load(server) as load:
        time.sleep(1)
        found = command(server, "sync", models=[])
        moved = time.monotonic()
        time.sleep(1)
    assert found.champion == 2
    assert described_versions(server) == {"2"}
    assert load.failures() == []
    assert load.versions() == {"1", "2"}
    assert load.versions(since=moved) == {"2"}
    assert len(load.answers) > 100
    assert replicas(server.run_dir) == before
    state = lifecycle.status(settings)
    assert state is not None
    assert state.models == {"fraud": 2}
    assert command(server, "sync", models=["fraud"]).champion == 2  # nothing to do is no error


def test_a_damaged_champion_is_refused_and_the_old_one_goes_on(server: ServerState, settings: Settings) -> None:
    publish(settings, 3, CHAMPION, damage=True)
    with Load(server) as load:
        with pytest.raises(CommandError, match="sha256"):
            command(server, "sync", models=["fraud"])
        time.sleep(0.5)
    assert (load.failures(), load.versions()) == ([], {"2"})
    state = lifecycle.status(settings)
    assert state is not None
    assert "version 3 refused: model.onnx has sha256" in state.variants["fraud"].event
    set_alias(settings, CHAMPION, 2)


def test_a_canary_gets_its_share_and_the_same_ids_always(server: ServerState, settings: Settings) -> None:
    publish(settings, 4, CHALLENGER)
    found = typed(settings, "canary", "fraud", "--percent", "20")
    assert (found.champion, found.challenger, found.percent) == (2, 4, 20.0)
    client, variants = Client(server), Variants(revision=1, champion=2, challenger=4, percent=20.0)
    keys = [f"customer-{number}" for number in range(1500)]
    by_key = {key: client.ask(key)[1]["model_version"] for key in keys}
    share = np.mean([version == "4" for version in by_key.values()])
    assert abs(share - 0.2) < 4 * np.sqrt(0.2 * 0.8 / len(keys))
    assert by_key == {key: "4" if variants.challenger_answers(key) else "2" for key in keys}
    fresh = Client(server)  # most likely the other replica
    assert all(fresh.ask(key)[1]["model_version"] == by_key[key] for key in keys[:100])
    for version in ("2", "4"):
        assert client.ask("any", path=f"/v2/models/fraud/versions/{version}/infer")[1]["model_version"] == version
    status, answer = client.ask("any", path="/v2/models/fraud/versions/1/infer")
    assert (status, "expected 2 or 4" in str(answer["error"])) == (404, True)
    assert described_versions(server) == {"2", "4"}
    shown = CliRunner().invoke(app, ["serve", "status"], env=environment(settings))
    assert "version 4 answering 20%" in shown.output
    ended = typed(settings, "rollback", "fraud")
    assert (ended.challenger, "rolled back: asked for" in ended.event) == (None, True)
    assert {client.ask(key)[1]["model_version"] for key in keys[:100]} == {"2"}


def test_a_canary_that_fails_is_rolled_back_with_its_reason(server: ServerState, settings: Settings) -> None:
    publish(settings, 5, CHALLENGER, nan_above=1000.0)
    with Load(server, LARGE) as load:
        try_out(server, "canary", 5, percent=30.0)
        found = wait_until_rolled_back(settings, within_s=40)
        over = time.monotonic() + 0.5
        time.sleep(1.5)
    assert "version 5 rolled back" in found.event
    assert "the limit is 1.00%" in found.event
    assert {status for _, status, _ in load.failures()} == {500}
    assert load.failures(since=over) == []
    assert any('event="rolled back"' in line and 'version="5"' in line for line in lifecycle_events(server))


def test_a_shadow_is_compared_and_never_answers(server: ServerState, settings: Settings) -> None:
    publish(settings, 6, CHALLENGER, threshold=0.001)  # all is fraud
    with Load(server) as load:
        try_out(server, "shadow", 6)
        found = wait_until_rolled_back(settings, within_s=40)
    assert (load.failures(), load.versions()) == ([], {"2"})
    assert "decided otherwise than the champion" in found.event


def test_a_replica_that_starts_later_serves_what_the_others_serve(server: ServerState) -> None:
    victim = sorted(replicas(server.run_dir))[0]
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (len(replicas(server.run_dir)) < 2 or victim in replicas(server.run_dir)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert len(replicas(server.run_dir)) == 2
    until, versions = time.monotonic() + 8, set()
    while time.monotonic() < until:  # new connections meet both replicas, once HAProxy knows of the new one
        with contextlib.suppress(OSError):
            versions.add(Client(server).ask("later")[1].get("model_version"))
        time.sleep(0.05)
    assert versions == {"2"}  # the server was started with version 1


def test_a_replica_that_leaks_is_replaced_without_a_failed_request(server: ServerState, settings: Settings) -> None:
    before = replicas(server.run_dir)
    victim = sorted(before)[0]
    with Load(server) as load:
        leak.leak(victim, server.run_dir, 2**29)
        deadline = time.monotonic() + 60
        while (victim in replicas(server.run_dir) or len(replicas(server.run_dir)) < 2) and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(2)  # HAProxy hears of the new one
    assert load.failures() == []
    assert len(load.answers) > 100
    assert len(replicas(server.run_dir)) == 2
    assert before & replicas(server.run_dir) == before - {victim}, "that one was replaced, and the other was not"
    assert "not healthy: the process has grown by" in settings.serving_log.read_text()


def test_a_strike_inside_a_drill_is_marked_and_costs_no_answer(
    server: ServerState, settings: Settings, tmp_path: Path
) -> None:
    slo = Slo(p50_ms=1000, p99_ms=5000, max_error_rate=0.0)
    strikes = (Strike(fault="freeze-replica", at_s=2, lasts_s=3), Strike(fault="kill-replica", at_s=7))
    plan = DrillPlan(model="fraud", load=Arrivals(rate_rps=60, duration_s=12), slo=slo, strikes=strikes)
    before = replicas(server.run_dir)
    target = Target.of(settings, "fraud")
    samples, out = settings.models / "fraud" / str(target.models["fraud"]), tmp_path / "result.json"
    result = run_drill(plan, url=server.url, samples=samples, out=out, target=target)
    frozen, killed = result.faults
    assert result.errors == 0, result.error_counts
    assert frozen.ended_s is not None
    assert 4.9 < frozen.ended_s < 6.5
    assert killed.whole_s is not None, "a successor stood, and the model said that it is ready"
    assert len(before - replicas(server.run_dir)) == 1
    assert DrillResult.model_validate_json(out.read_bytes()) == result
