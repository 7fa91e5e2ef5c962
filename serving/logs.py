"""Structured logs: one JSON object a line, of every process of a server, in one file.

Each line is one write to a file opened for appending, so that processes do not tear each other's lines. No line holds a
payload: neither bodies nor the messages of exceptions (which quote values) are written, only their types and where they
were raised.
"""

import json
import logging
import os
import random
import time
import traceback
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from serving.protocol.asgi import CLIENT_CLOSED_REQUEST, Receive, Scope, Send, StatusWatch

LOGGER = "drillyard"  # what every module of the server logs to
PATH_CHARS = 200  # of a request's path
request_id: ContextVar[bytes] = ContextVar("request_id", default=b"")  # set where Serve is not asked (at_once.py)
ID_CHARS = 128  # of a request's id, which the client may choose

# Every field a line may have, and what it says.
FIELDS = {
    "time": "UTC, ISO 8601, milliseconds",
    "level": "`INFO`, `WARNING` or `ERROR`",
    "process": "`supervisor`, `front` or `replica NAME`",
    "pid": "process id",
    "message": "what happened; `request` on an access line",
    "request_id": "the request's `X-Request-ID`, given by the client or by HAProxy, and sent back with the answer",
    "method": "access line: HTTP method",
    "path": f"access line: path without query, at most {PATH_CHARS} characters",
    "status": "access line: HTTP status (499: the client had gone)",
    "duration_ms": "access line: from the request's arrival in this process to its answer",
    "exception": "type of the exception and the places it passed, without its message",
}

App = Callable[[Scope, Receive, Send], Awaitable[None]]


def log_to(file: Path, process: str, request_id: Callable[[], str] = lambda: "") -> None:
    """Send what this process logs to `file` from now on; `request_id` says what the present task works on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(file, mode="a", encoding="utf-8")
    handler.setFormatter(JsonLines(process, request_id))
    logger = logging.getLogger(LOGGER)
    for old in logger.handlers[:]:
        logger.removeHandler(old)
        old.close()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def set_aside(file: Path) -> None:
    """Keep the lines of the server before this one, and only those, under the name with `.1` behind it."""
    if file.exists():
        file.replace(file.with_name(f"{file.name}.1"))


def serve_request_id() -> str:
    """The id of the request that this task of a Ray Serve replica works on; empty outside of one."""
    from ray.serve.context import _get_serve_request_context

    return (request_id.get().decode("latin-1") or str(_get_serve_request_context().request_id))[:ID_CHARS]


class JsonLines(logging.Formatter):
    """A record as one line; its `fields` attribute, a dict, joins the others."""

    def __init__(self, process: str, request_id: Callable[[], str]) -> None:
        super().__init__()
        self._process, self._request_id = process, request_id

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self._process,
            "pid": os.getpid(),
            "message": record.getMessage(),
        }
        if request_id := self._request_id():
            line["request_id"] = request_id
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = _without_message(record.exc_info[1])
        return json.dumps(line, default=str)  # its escapes keep any text on one line, lone surrogates too


class AccessLog:
    """An ASGI app around another that logs a line for a share of its requests, chosen at random."""

    def __init__(self, app: App, share: float) -> None:
        self._app, self._share = app, share
        self._log = logging.getLogger(LOGGER)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or random.random() >= self._share:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        watch = StatusWatch(send, unsent=CLIENT_CLOSED_REQUEST)
        try:
            await self._app(scope, receive, watch)
        finally:
            fields = {
                "method": scope["method"],
                "path": scope["path"][:PATH_CHARS],
                "status": watch.status,
                "duration_ms": round((time.perf_counter() - began) * 1e3, 3),
            }
            self._log.info("request", extra={"fields": fields})


def access_logged(app: App, share: float) -> App:
    """The app with access lines for that share of requests; with none it is the app itself, at no cost."""
    return AccessLog(app, share) if share > 0 else app


def _without_message(error: BaseException) -> dict[str, Any]:
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "type": type(error).__qualname__,
        "at": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }
