"""Shared by the serving tests: tiny models written once, and a way to call an ASGI app without a server."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from drillyard.core.contract import ModelCard, ModelRef
from drillyard.core.settings import Settings
from serving.artifact import LocalModel, verify
from serving.exposition import exposition
from serving.metrics import Comparison, ShedReason, Variant
from serving.predictor import Predictor
from serving.protocol.errors import RequestError
from serving.protocol.tensors import Array
from tests.support import tiny_models


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LocalModel]:
    """Both tiny models, verified, by name."""
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for name, write in (("vision", tiny_models.write_vision), ("fraud", tiny_models.write_fraud)):
        write(folder / name / "1")
        found[name] = verify(folder / name / "1", ModelRef(name=name, version=1))
    return found


@pytest.fixture(scope="session")
def cards(models: dict[str, LocalModel]) -> dict[str, ModelCard]:
    return {name: model.card for name, model in models.items()}


@pytest.fixture(scope="session")
def predictors(models: dict[str, LocalModel]) -> dict[str, Predictor]:
    found = {name: Predictor(model, threads=1) for name, model in models.items()}
    for predictor in found.values():
        predictor.warm_up()
    return found


def home_with_both_models(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A new home, with version 1 of both tiny models registered as champions."""
    settings = Settings.from_env({"DRILLYARD_HOME": str(tmp_path_factory.mktemp("home"))})
    tiny_models.register_both(settings.tracking_uri, settings.home / "source")
    return settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A module's own home; see home_with_both_models."""
    return home_with_both_models(tmp_path_factory)


class MeasuringFake:
    """Metrics for an engine: they assert what they are told, and remember it by version and role."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, Variant]] = []
        self.rows: list[int] = []
        self.given_up: list[ShedReason] = []
        self.outcomes: list[tuple[int, Comparison]] = []

    def of(self, version: int, variant: Variant) -> "MeasuresFake":
        return MeasuresFake(self, version, variant)

    def drift(self, card: ModelCard) -> "WatchFake":
        return WatchFake(card)

    def shed(self, reason: ShedReason) -> None:
        self.given_up.append(reason)

    def compared(self, version: int, outcome: Comparison) -> None:
        self.outcomes.append((version, outcome))


class MeasuresFake:
    """One version in one role."""

    def __init__(self, whole: MeasuringFake, version: int, variant: Variant) -> None:
        self._whole, self._key = whole, (version, variant)

    def takes(self) -> None:
        self._whole.taken.append(self._key)

    def queue_wait(self, seconds: float) -> None:
        assert 0 <= seconds < 60

    def inference(self, seconds: float, rows: int) -> None:
        assert 0 < seconds < 60
        assert self._key in self._whole.taken, "who runs a request takes it first"
        self._whole.rows.append(rows)


class WatchFake:
    """A drift watch that asserts it sees whole requests with their answers."""

    def __init__(self, card: ModelCard) -> None:
        self._card = card

    def observe(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        assert set(inputs) == {spec.name for spec in self._card.inputs}
        assert len({len(values) for values in (*inputs.values(), *outputs.values())}) == 1


@dataclass(frozen=True)
class Reply:
    """What an app sent: status, headers, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


def exposed(folder: Path) -> dict[tuple[str, ...], float]:
    """Every sample of the metrics under that folder, by name and label values in the order of the labels' names."""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(exposition(folder).decode())
        for sample in family.samples
    }


def status_of(call: Callable[[], Any]) -> int:
    """200 when the call returns, the status of its RequestError otherwise; any other exception is the test's."""
    try:
        call()
    except RequestError as error:
        return error.status
    return 200


def call_app(
    app: Any,
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    chunk_bytes: int | None = None,
) -> Reply:
    """One request, its body in one message or in chunks; asserts that the app follows the protocol."""
    size = chunk_bytes or max(1, len(body))
    chunks = [body[i : i + size] for i in range(0, len(body), size)] or [b""]
    messages = [
        {"type": "http.request", "body": chunk, "more_body": i + 1 < len(chunks)} for i, chunk in enumerate(chunks)
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    raw = [(key.lower().encode(), value.encode()) for key, value in (headers or {}).items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": raw}
    asyncio.run(app(scope, receive, send))
    start, *rest = sent
    assert start["type"] == "http.response.start"
    assert [message["type"] for message in rest] == ["http.response.body"]
    names = {key.decode(): value.decode() for key, value in start["headers"]}
    assert int(names["content-length"]) == len(rest[0]["body"])
    return Reply(status=start["status"], headers=names, body=rest[0]["body"])
