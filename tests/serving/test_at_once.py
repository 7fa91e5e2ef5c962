"""Which requests Ray Serve hears of, and that it can do with them what it always could."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from serving.at_once import AtOnce, answered_at_once
from serving.logs import serve_request_id
from serving.protocol.asgi import respond

PATH = "/v2/models/m/infer"
Messages = list[dict[str, Any]]


class Serve:
    """In Ray Serve's place: counts what is under way, may refuse, and adds the id to an answer, as Serve does."""

    def __init__(self, app: Any) -> None:
        self._app, self.seen, self.ongoing, self.refuses = app, 0, 0, False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_id(message: dict[str, Any]) -> None:
            if "headers" in message:
                message["headers"].append((b"x-request-id", b"by serve"))
            await send(message)

        self.seen += 1
        if self.refuses:
            await respond(send, 503, b"busy")
            return
        self.ongoing += 1
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self.ongoing -= 1


class App:
    """Answers when `gate` is set (at once without one); remembers how its requests ended."""

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.gate, self.ended, self.ids = gate, [], []  # type: ignore[var-annotated]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.ids.append(serve_request_id())
        ended = "given up"
        try:
            message = await receive()
            if self.gate is not None:
                await self.gate.wait()
            await respond(send, 200, message["body"])
            ended = "answered"
        except asyncio.CancelledError:
            ended = "cancelled"
            raise
        finally:
            self.ended.append(ended)


def stack(app: App) -> tuple[AtOnce, Serve]:
    serve = Serve(answered_at_once(app))
    return AtOnce(serve), serve


def started(
    asked: AtOnce, *, headers: bool = True, path: str = PATH, body: Callable[[], Any] | None = None
) -> "tuple[asyncio.Task[None], Messages]":
    sent: Messages = []

    async def receive() -> dict[str, Any]:
        if body is not None:
            await body()
        return {"type": "http.request", "body": b"{}"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "headers": [(b"x-request-id", b"mine")] if headers else []}

    async def task() -> None:
        await asked(scope, receive, send)

    return asyncio.create_task(task()), sent


def ids(sent: Messages) -> list[bytes]:
    return [value for name, value in sent[0]["headers"] if name == b"x-request-id"]


def test_what_needs_no_waiting_is_answered_without_serve() -> None:
    async def run() -> None:
        app = App()
        asked, serve = stack(app)
        task, sent = started(asked)
        await task
        assert (serve.seen, app.ended, app.ids) == (0, ["answered"], ["mine"])
        assert (sent[0]["status"], sent[1]["body"], ids(sent)) == (200, b"{}", [b"mine"])

    asyncio.run(run())


def test_what_waits_is_under_way_in_serve_until_it_is_answered() -> None:
    async def run() -> None:
        app = App(asyncio.Event())
        asked, serve = stack(app)
        pairs = [started(asked) for _ in range(3)]
        await asyncio.sleep(0)
        assert (serve.ongoing, [sent for _, sent in pairs]) == (3, [[], [], []])
        assert app.gate is not None
        app.gate.set()
        await asyncio.gather(*(task for task, _ in pairs))
        assert (serve.seen, serve.ongoing, app.ended) == (3, 0, ["answered"] * 3)
        for _, sent in pairs:
            assert (sent[1]["body"], ids(sent)) == (b"{}", [b"by serve"])  # once, not twice

    asyncio.run(run())


def test_a_body_that_is_not_there_yet_is_serves_to_wait_for() -> None:
    async def run() -> None:
        app, here = App(), asyncio.Event()
        asked, serve = stack(app)
        task, sent = started(asked, body=here.wait)
        await asyncio.sleep(0)
        assert serve.ongoing == 1
        here.set()
        await task
        assert (app.ended, sent[1]["body"]) == (["answered"], b"{}")

    asyncio.run(run())


def test_serve_can_cancel_what_waits() -> None:
    async def run() -> None:
        app = App(asyncio.Event())
        asked, serve = stack(app)
        task, sent = started(asked)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (serve.ongoing, app.ended, sent) == (0, ["cancelled"], [])

    asyncio.run(run())


def test_serve_can_cancel_it_in_a_task_of_its_own() -> None:
    """As it does for a request with `X-Request-Timeout-Seconds`: it cancels the task, and does not wait for it."""
    app = App(asyncio.Event())
    going_on = answered_at_once(app)
    tasks = []

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        tasks.append(asyncio.ensure_future(going_on(scope, receive, send)))
        await asyncio.wait(tasks, timeout=0.01)
        tasks[0].cancel()
        await respond(send, 408, b"late")

    async def run() -> None:
        task, sent = started(AtOnce(serve))
        await task
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert (sent[0]["status"], app.ended) == (408, ["cancelled"])

    asyncio.run(run())


def test_what_serve_refuses_is_given_up() -> None:
    async def run() -> None:
        app = App(asyncio.Event())
        asked, serve = stack(app)
        serve.refuses = True
        task, sent = started(asked)
        await task
        assert (app.ended, sent[0]["status"]) == (["given up"], 503)

    asyncio.run(run())


def test_a_failure_of_the_app_is_the_servers_to_see() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("broken")

    async def run() -> None:
        asked = AtOnce(Serve(answered_at_once(broken)))
        with pytest.raises(ValueError, match="broken"):
            await started(asked)[0]

    asyncio.run(run())


@pytest.mark.parametrize("asked_how", [{"headers": False}, {"path": "/-/healthz"}])
def test_what_is_serves_stays_serves(asked_how: dict[str, Any]) -> None:
    async def run() -> None:
        app = App()
        asked, serve = stack(app)
        await started(asked, **asked_how)[0]
        assert (serve.seen, app.ended) == (1, ["answered"])

    asyncio.run(run())
