"""The comparison's pure parts, wrk against a small server, and the forms against this project's own routes."""

import importlib
import io
import json
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import orjson
import pytest
from PIL import Image

from drillyard.core import processes
from drillyard.core.contract import MODEL_FILE
from drillyard.core.errors import InvalidMeasurement, ServiceUnreachable
from drillyard.core.ports import free_port
from serving.artifact import LocalModel
from serving.bench import bars, environments, pictures, plot, report, rounds, running, wrk
from serving.bench.bars import Bar, Which
from serving.bench.forms import BINARY, NATURAL, PROTOCOL
from serving.bench.openloop import OpenCell
from serving.bench.peers.model import MODEL, PATH, Model
from serving.bench.rounds import Cell
from serving.bench.servers import all_servers
from serving.bench.workload import Form, Question, WrongAnswerError, question, workload
from serving.predictor import Predictor
from tests.serving.conftest import call_app
from tests.serving.test_routes import routes_of
from tests.support import needs
from tests.support.tiny_models import expected_fraud

FEATURES = np.random.default_rng(5).normal(size=(4, 29)).astype(np.float32) * 10


def model(inputs: Any) -> dict[str, Any]:
    """The tiny fraud model in numpy."""
    return dict(zip(("score", "is_fraud", "reasons"), expected_fraud(inputs["features"]), strict=True))


def answered(app: Any, asked: Question) -> None:
    """Ask an ASGI app; raises WrongAnswerError."""
    reply = call_app(app, "POST", asked.path, asked.body, asked.headers)
    assert reply.status == 200, reply.body
    asked.check(reply.headers, reply.body)


@pytest.mark.parametrize("form", [PROTOCOL, BINARY], ids=lambda form: form.name)
@pytest.mark.parametrize("rows", [1, 4])
def test_questions_are_answered_right_by_the_real_routes(
    predictors: dict[str, Predictor], form: Form, rows: int
) -> None:
    routes, _ = routes_of(predictors["fraud"])
    asked = workload("any", form, "/v2/models/fraud/infer", {"features": FEATURES}, model, rows=rows)
    assert len(asked.questions) == 4 // rows
    for each in asked.questions:
        answered(routes, each)


@pytest.mark.parametrize(("form", "path"), [(NATURAL, "/predict"), (PROTOCOL, "/v2/models/fraud/infer")])
def test_the_hand_written_peer_is_right_in_both_forms(
    models: dict[str, LocalModel], monkeypatch: pytest.MonkeyPatch, form: Form, path: str
) -> None:
    monkeypatch.setenv(MODEL, str(models["fraud"].path / MODEL_FILE))
    monkeypatch.setenv(PATH, "/v2/models/fraud/infer")
    peer = importlib.reload(importlib.import_module("serving.bench.peers.fastapi_app"))
    answered(peer.app, question(form, path, {"features": FEATURES}, model))
    assert Model().predict({"features": FEATURES.tolist()}).keys() == model({"features": FEATURES}).keys()


@pytest.mark.parametrize(
    "change",
    [
        lambda right: right | {"score": [right["score"][0] * 1.01]},
        lambda right: right | {"is_fraud": [not right["is_fraud"][0]]},
        lambda right: right | {"reasons": right["reasons"][0][:-1]},
        lambda right: {name: value for name, value in right.items() if name != "score"},
        lambda right: right | {"score": [None]},
        lambda right: [right],
    ],
)
def test_a_wrong_answer_is_found(change: Any) -> None:
    asked = question(NATURAL, "/predict", {"features": FEATURES[:1]}, model)
    right = {name: array.tolist() for name, array in model({"features": FEATURES[:1]}).items()}
    asked.check({}, orjson.dumps(right))
    with pytest.raises(WrongAnswerError):
        asked.check({}, orjson.dumps(change(right)))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
@pytest.mark.parametrize("size_bytes", [100_000, 400_000])
def test_pictures_have_the_wanted_size_and_their_own_answers(
    cards: dict[str, Any], file_format: str, size_bytes: int
) -> None:
    file = pictures.file_of_size(size_bytes, file_format)
    assert len(file) == pytest.approx(size_bytes, rel=0.1)
    seen: list[Any] = []

    def look(inputs: Any) -> dict[str, Any]:
        seen.append(inputs["image"])
        return {"scores": np.linspace(0, 1, 10, dtype=np.float32)[np.newaxis], "label": np.array([9])}

    (asked,) = pictures.picture_workload("any", cards["vision"], file, file_format, look).questions
    assert np.array_equal(seen[0][0], np.asarray(Image.open(io.BytesIO(file))))
    labels = cards["vision"].labels
    scores = dict(zip(labels, np.linspace(0, 1, 10).tolist(), strict=True))
    asked.check({}, orjson.dumps({"label": labels[9], "scores": scores}))
    with pytest.raises(WrongAnswerError):
        asked.check({}, orjson.dumps({"label": labels[8], "scores": scores}))


class Recording(BaseHTTPRequestHandler):
    """Answers the code that the body asks for, and keeps what it was sent."""

    protocol_version = "HTTP/1.1"
    bodies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.append(body)
        self.send_response(int(body[:3]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Not to the test's output."""


@pytest.fixture
def recorder() -> Iterator[str]:
    Recording.bodies.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recording)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def asking(body: bytes) -> Question:
    return Question(path="/any", headers={}, body=body, decode=NATURAL.decode, expected={})


def test_wrk_sends_each_request_in_turn_and_counts_what_was_refused(recorder: str) -> None:
    needs.program("wrk", "wrk")
    bodies = [b"200 first", b"503 \x00\xff\n second", b"200 third" * 1000]
    found = wrk.run(recorder, tuple(map(asking, bodies)), connections=1, seconds=1)
    first = bodies.index(Recording.bodies[0])  # wrk itself tries the script once before it sends
    assert Recording.bodies[:6] == [bodies[(first + i) % 3] for i in range(6)]
    # wrk does not count the answer that was under way when it ended.
    assert found.requests == pytest.approx(len(Recording.bodies), abs=2)
    assert found.errors == {"status": pytest.approx(found.requests / 3, abs=1)}
    assert 0 < found.p50_ms <= found.p99_ms < 1000
    assert found.duration_s == pytest.approx(1, abs=0.3)
    assert 0 < found.client_cpu_share < 1.1


def test_wrk_without_a_server_is_no_measurement() -> None:
    needs.program("wrk", "wrk")
    with pytest.raises(InvalidMeasurement):
        wrk.run(f"http://127.0.0.1:{free_port()}", (asking(b"200"),), connections=1, seconds=1)


_TWO_PROCESSES = """
import subprocess, sys, time
from http.server import HTTPServer
from tests.serving.test_bench import Recording
child = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Recording).serve_forever()
"""


def test_a_peer_is_started_counted_and_ended_with_its_children() -> None:
    port = free_port()
    asked = replace(asking(b"200"), decode=lambda headers, body: {}, expected={})
    with running.run_folder() as folder:
        command = [sys.executable, "-c", _TWO_PROCESSES, str(port)]
        with running.process(command, port=port, folder=folder, environment={}) as server:
            running.wait_until_right(server, (asked,))
            before = server.cpu_s()
            assert len(processes.belonging_to(folder)) == 2
            while server.cpu_s() < before + 0.1:  # the child's, which nobody asked for: children count
                pass
        assert processes.belonging_to(folder) == []
    assert not folder.exists()


def test_a_peer_that_ends_is_named_with_its_log() -> None:
    command = [sys.executable, "-c", "raise SystemExit('out of cheese')"]

    def start(folder: Path) -> None:
        with running.process(command, port=free_port(), folder=folder, environment={}) as server:
            running.wait_until_right(server, (asking(b"200"),))

    with (
        running.run_folder() as folder,
        pytest.raises(WrongAnswerError, match=r"it ended while starting[^$]*out of cheese"),
    ):
        start(folder)


def cell(contender: str, number: int, rows_per_s: float, p99_ms: float = 1.0, **changes: Any) -> Cell:
    known: dict[str, Any] = {
        "part": "rows",
        "workload": "one row",
        "connections": 16,
        "requests_per_s": rows_per_s,
        "p50_ms": p99_ms / 2,
        "cpu_us_per_request": 100.0,
        "client_cpu_share": 0.5,
        "requests": 1000,
        "errors": {},
    }
    return Cell(round=number, contender=contender, rows_per_s=rows_per_s, p99_ms=p99_ms, **(known | changes))


OVER, UNDER = (Which(part="rows", contender=name, workload="one row") for name in ("a", "b"))


def test_ratios_pair_the_rounds_and_leave_out_failed_cells() -> None:
    cells = [cell("a", 0, 10), cell("b", 0, 5), cell("b", 1, 20), cell("a", 1, 100), cell("a", 2, 9), cell("b", 2, 3)]
    found = bars.ratio(cells, OVER, UNDER, "rows_per_s")
    assert found == bars.Ratio(median=3.0, low=2.0, high=5.0, rounds=3)
    failed = [*cells[:-1], replace(cells[-1], errors={"timeout": 1})]
    assert bars.ratio(failed, OVER, UNDER, "rows_per_s") == bars.Ratio(median=3.5, low=2.0, high=5.0, rounds=2)
    assert bars.ratio(cells, OVER, replace(UNDER, connections=64), "rows_per_s") is None


@pytest.mark.parametrize(
    ("rows_per_s", "p99_ms", "lower_p99", "passed"),
    [(25, 1, True, True), (24, 1, True, False), (25, 2, True, False), (25, 2, False, True), (None, None, False, False)],
)
def test_a_bar_passes_on_speed_and_where_asked_on_p99(
    monkeypatch: pytest.MonkeyPatch, rows_per_s: float | None, p99_ms: float | None, lower_p99: bool, passed: bool
) -> None:
    monkeypatch.setattr(bars, "BARS", (Bar(over=OVER, under=UNDER, least=2.5, lower_p99=lower_p99),))
    ours = [cell("a", 0, rows_per_s, p99_ms)] if rows_per_s and p99_ms else []
    (judged,) = bars.judge([*ours, cell("b", 0, 10, 2.0)], refused=["a"])
    assert judged.passed is passed


def test_only_those_that_were_asked_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "BARS", (Bar(over=OVER, under=UNDER, least=2.5, lower_p99=False),))
    assert bars.judge([cell("b", 0, 10)], refused=[]) == []
    assert bars.judge([cell("a", 0, 10, part="images"), cell("b", 0, 10, part="images")], refused=[]) == []


def test_every_bar_names_contenders_that_exist() -> None:
    known = {*all_servers(), "in-process-1", "in-process-2"}
    assert {which.contender for bar in bars.BARS for which in (bar.over, bar.under)} <= known


class Fake:
    """A contender that notes its turn; `wrong` makes it answer wrongly in that round."""

    def __init__(self, name: str, turns: list[tuple[int, str]], wrong: int | None = None) -> None:
        self.name, self._turns, self._wrong = name, turns, wrong

    def measure(self, number: int, *, seconds: float) -> Iterator[Cell | OpenCell]:
        assert seconds == 3
        self._turns.append((number, self.name))
        yield cell(self.name, number, 10)
        if number == self._wrong:
            raise WrongAnswerError("7 is not 8")


def test_the_order_turns_and_a_wrong_one_is_dropped_with_its_reason() -> None:
    turns: list[tuple[int, str]] = []
    said: list[str] = []
    contenders = [Fake("a", turns), Fake("b", turns, wrong=1), Fake("c", turns)]
    found = rounds.run(contenders, rounds=3, seconds=3, say=said.append)
    assert turns == [(0, "a"), (0, "b"), (0, "c"), (1, "c"), (1, "b"), (1, "a"), (2, "a"), (2, "c")]
    assert found.refused == {"b": "7 is not 8"}
    assert [c.contender for c in found.cells] == ["a", "b", "c", "c", "a", "a", "c"]
    assert any("b is not measured: 7 is not 8" in line for line in said)


def content() -> dict[str, Any]:
    cells = [cell(name, number, speed + number) for number in range(3) for name, speed in (("a", 100), ("b", 50))]
    cells.append(cell("b", 0, 5, connections=64, errors={"timeout": 7}))
    setups = {"a": "as it is", "b": "two workers", "c": "never came up"}
    opened = {"contender": "a", "rate_rps": 200, "p50_ms": 1.0, "p99_ms": 2.0, "requests": 600, "errors": {"503": 2}}
    return {
        "cells": [vars(each) for each in cells],
        "setups": setups,
        "refused": {"c": "answered 7, not 8\nlog"},
        "open_loop": [opened | {"valid": False}],
    }


def test_tables_show_medians_failures_and_what_was_not_measured() -> None:
    tables = {title: lines for title, _, lines in report.tables(json.loads(json.dumps(content())))}
    one_row = next(lines for title, lines in tables.items() if title.startswith("One row"))
    assert one_row[0] == ["a", "101 (1.0 ms)", "not measured", "100 us", "as it is"]
    assert one_row[1] == ["b", "51 (1.0 ms)", "FAILED: 7 timeout", "100 us", "two workers"]
    assert one_row[2] == ["c", "not measured", "not measured", "", "answered 7, not 8"]
    opened = next(lines for title, lines in tables.items() if title.startswith("Poisson"))
    assert opened == [["a", "200", "1.0 ms", "2.0 ms", "2", "no: the drill was INVALID"]]


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    plot.draw(content(), tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").read_text().count("<svg") == 1


def peers() -> list[str]:
    return [name for name in all_servers() if environments.requirements(name).exists()]


def test_each_peer_is_pinned_whole() -> None:
    assert set(peers()) == {"fastapi", "litserve", "bentoml", "mlserver"}
    for peer in peers():
        lines = [line for line in environments.requirements(peer).read_text().splitlines() if line[:1] != "#"]
        assert [line for line in lines if not re.fullmatch(r"[\w.\-]+==[\w.]+", line)] == []
        assert environments.pinned(peer, "onnxruntime") == environments.pinned("fastapi", "onnxruntime")
        assert environments.pinned(peer, peer) in all_servers()[peer].setup


def test_an_environment_is_made_once_and_one_that_was_cut_off_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    said: list[str] = []

    def fail(command: list[str]) -> None:
        raise ServiceUnreachable("the package index", command[-1], "it is away")

    monkeypatch.setattr(environments, "_run", fail)
    with pytest.raises(ServiceUnreachable):
        environments.prepare("fastapi", tmp_path, said.append)
    monkeypatch.setattr(environments, "_run", ran.append)
    made = environments.prepare("fastapi", tmp_path, said.append)
    assert environments.prepare("fastapi", tmp_path, said.append) == made
    assert len(ran) == 2
    assert len(said) == 2
    assert ran[1][-1] == str(environments.requirements("fastapi"))
    assert made.is_relative_to(tmp_path / "peers")
