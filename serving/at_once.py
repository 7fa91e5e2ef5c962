"""Requests that are answered before anything else of the process can run, without Ray Serve's accounts of each.

Ray Serve wraps a request in ids, metadata, context managers and metrics, so that it knows what is under way: for
autoscaling, limits, draining and hung-up clients. That costs more than a small model. A request that is answered within
one step of the event loop is over before Serve could look, so here it is answered without. Serve runs this middleware
in its own HTTP server, through its hook (hook.py). The first step of a request is taken here; one that has to wait, for
its body or for the model's thread, goes on inside Serve, which then counts, limits, drains and cancels it as ever.
"""

from collections.abc import Coroutine, Generator
from typing import Any

from serving.logs import request_id
from serving.protocol.asgi import Receive, Scope, Send, header
from serving.protocol.guard import App

REQUEST_ID = b"x-request-id"
_BEGUN = "drillyard.begun"  # key of the scope
_app: App | None = None  # of this process, once there is one


def answered_at_once(app: App) -> App:
    """Let this app's requests take their first step before Serve hears of them; the result is what to give to Serve.

    One app a process.
    """
    global _app
    _app = app

    async def go_on(scope: Scope, receive: Receive, send: Send) -> None:
        begun: _Answer | None = scope.get(_BEGUN)
        if begun is None:
            await app(scope, receive, send)
        else:
            await begun.finish(send)

    return go_on


class AtOnce:
    """ASGI middleware around Ray Serve's own app. Requests without an id, which HAProxy gives to all, are Serve's."""

    def __init__(self, serve: App) -> None:
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = header(scope, REQUEST_ID) if _app is not None and scope["type"] == "http" else b""
        if _app is None or not given or scope["path"].startswith("/-/"):  # Serve's own routes
            await self._serve(scope, receive, send)
            return
        request_id.set(given)
        answer = _Answer(_app, scope, receive, send, given)
        if answer.begin():
            return
        scope[_BEGUN] = answer
        try:
            await self._serve(scope, receive, send)
        finally:
            answer.close()


class _Answer:
    """One request on its way through the app."""

    __slots__ = ("_coroutine", "_id", "_is_serves", "_pending", "_send")

    def __init__(self, app: App, scope: Scope, receive: Receive, send: Send, given_id: bytes) -> None:
        self._send, self._id, self._is_serves = send, given_id, False
        made: Any = app(scope, receive, self._forward)
        self._coroutine: Coroutine[Any, Any, None] = made
        self._pending: Any = None  # what it waits for

    def begin(self) -> bool:
        """Take the first step; whether it was the last."""
        try:
            self._pending = self._coroutine.send(None)
        except StopIteration:
            return True
        return False

    async def finish(self, send: Send) -> None:
        """Take the other steps, and answer through `send`."""
        self._send, self._is_serves = send, True
        await self

    def close(self) -> None:
        """Give it up if Serve did not let it go on. Else it is Serve's to end, perhaps in a task of its own."""
        if not self._is_serves:
            self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            while True:
                try:
                    value = yield self._pending
                except BaseException as error:  # cancelled
                    self._pending = self._coroutine.throw(error)
                else:
                    self._pending = self._coroutine.send(value)
        except StopIteration:
            return

    async def _forward(self, message: dict[str, Any]) -> None:
        if not self._is_serves and message["type"] == "http.response.start":  # Serve adds the id itself
            message["headers"].append((REQUEST_ID, self._id))
        await self._send(message)
