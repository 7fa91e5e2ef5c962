"""Lines that a program can read, whole whoever writes at the same time, and never with a payload in them."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from drillyard.core.contract import ModelCard
from drillyard.core.errors import UsageError
from serving import logs
from serving.protocol.asgi import Receive, Scope, Send, respond
from serving.protocol.routes import ModelRoutes
from serving.recipes import ServeConfig, laptop
from tests.serving.conftest import call_app

log = logging.getLogger(logs.LOGGER)
SECRET = "4417123456789113"  # what a payload would be known by


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """The log of this test's process, taken away from the logger afterwards."""
    yield tmp_path / "logs" / "serving.jsonl"
    for handler in log.handlers[:]:
        log.removeHandler(handler)
        handler.close()


def lines(file: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert all(set(line) <= set(logs.FIELDS) for line in found), "each field is documented"
    return found


def test_a_line_says_when_who_and_what(file: Path) -> None:
    logs.log_to(file, "replica fraud", lambda: "r-1")
    log.warning("API keys read again; valid now: %s", "alice")
    (line,) = lines(file)
    assert line["time"].endswith("+00:00")
    assert (line["level"], line["process"], line["request_id"]) == ("WARNING", "replica fraud", "r-1")
    assert line["message"] == "API keys read again; valid now: alice"
    logs.log_to(file, "front")
    log.error("again")
    assert len(lines(file)) == 2, "a process logs to one place"
    assert "request_id" not in lines(file)[1]


def test_an_exception_leaves_its_type_and_place_but_not_its_words(file: Path) -> None:
    logs.log_to(file, "front")
    try:
        float(f"x{SECRET}")
    except ValueError:
        log.exception("unexpected failure")
    (line,) = lines(file)
    assert line["exception"]["type"] == "ValueError"
    assert line["exception"]["at"][0].startswith("test_logs.py:")
    assert SECRET not in file.read_text()


class BrokenEngine:
    """Fails on every request with the request's own words, as a careless bug would."""

    def __init__(self, card: ModelCard) -> None:
        self._card = card

    def card(self, version: str | None = None) -> ModelCard:
        return self._card

    async def infer(self, request: Any, version: str | None = None) -> Any:
        assert SECRET in str(request.id)
        raise RuntimeError(f"cannot work on {request}")


class NotCounting:
    def begin(self) -> float:
        return 0.0

    def end(self, began: float, code: int) -> None:
        assert code in (400, 404, 500)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"id": SECRET, "inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 29], "data": [1] * 29}]}, 500),
        ({"inputs": [{"name": SECRET}]}, 400),
        ({"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 29], "data": [SECRET] * 29}]}, 400),
    ],
)
def test_no_payload_reaches_the_log(file: Path, cards: dict[str, ModelCard], body: Any, status: int) -> None:
    logs.log_to(file, "replica fraud")
    routes = ModelRoutes(BrokenEngine(cards["fraud"]), NotCounting(), max_body_bytes=10_000, max_rows=8, max_pixels=100)
    app = logs.access_logged(routes, 1.0)
    reply = call_app(app, "POST", "/v2/models/fraud/infer", json.dumps(body).encode())
    assert reply.status == status
    found = lines(file)
    assert [line["level"] for line in found] == (["ERROR", "INFO"] if status == 500 else ["INFO"])
    assert SECRET not in file.read_text()


async def teapot(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] != "/gone":
        await respond(send, 418, b"{}")


def test_access_lines_say_what_was_asked_and_answered(file: Path) -> None:
    logs.log_to(file, "front")
    app = logs.access_logged(teapot, 1.0)
    call_app(app, "GET", "/" + "x" * 500)
    scope = {"type": "http", "method": "GET", "path": "/gone", "headers": [], "query_string": SECRET.encode()}
    asyncio.run(app(scope, None, None))  # type: ignore[arg-type]
    first, second = lines(file)
    assert (first["message"], first["method"], first["status"]) == ("request", "GET", 418)
    assert len(first["path"]) == logs.PATH_CHARS
    assert 0 <= first["duration_ms"] < 1000
    assert (second["path"], second["status"]) == ("/gone", 499)


def test_a_share_of_requests_is_logged_and_none_costs_nothing(file: Path) -> None:
    logs.log_to(file, "front")
    assert logs.access_logged(teapot, 0.0) is teapot
    logs.random.seed(0)
    app = logs.access_logged(teapot, 0.25)
    for _ in range(400):
        call_app(app, "GET", "/")
    assert 60 < len(lines(file)) < 140
    for share in (-0.1, 1.5):
        with pytest.raises(UsageError, match="access_log_share"):
            ServeConfig(models=laptop("fraud").models, access_log_share=share)


ANY_TEXT = st.text(st.characters(), max_size=30)  # lone surrogates included


@hypothesis_settings(derandomize=True, max_examples=50, deadline=None)
@given(message=ANY_TEXT, request_id=ANY_TEXT)
def test_any_text_stays_one_line(message: str, request_id: str) -> None:
    record = logging.LogRecord(logs.LOGGER, logging.ERROR, __file__, 1, message, (), None)
    line = logs.JsonLines("front", lambda: request_id).format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == message


def test_processes_do_not_tear_each_others_lines(tmp_path: Path) -> None:
    file = tmp_path / "serving.jsonl"
    code = (
        "import logging, pathlib, sys; from serving import logs; logs.log_to(pathlib.Path(sys.argv[1]), sys.argv[2]);"
        "[logging.getLogger(logs.LOGGER).error('%d ' + 'x' * 3000, i) for i in range(200)]"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(file), name]) for name in ("a", "b")]
    assert [child.wait(30) for child in running] == [0, 0]
    found = [(line["process"], int(line["message"].split()[0])) for line in lines(file)]
    assert sorted(found) == sorted((name, i) for name in ("a", "b") for i in range(200))


def test_the_log_of_the_server_before_is_kept_once(tmp_path: Path) -> None:
    file = tmp_path / "serving.jsonl"
    logs.set_aside(file)
    for text in ("first", "second"):
        file.write_text(text)
        logs.set_aside(file)
    assert [path.name for path in tmp_path.iterdir()] == ["serving.jsonl.1"]
    assert (tmp_path / "serving.jsonl.1").read_text() == "second"
