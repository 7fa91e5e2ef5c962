"""An ASGI app behind API keys: what asks without one is answered 401 and reaches nothing."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from serving.protocol.asgi import Receive, Scope, Send, respond
from serving.protocol.errors import RequestError, body_of

# Of the server as a whole; load balancers and process supervisors ask them, and have no key.
OPEN_PATHS = frozenset({"/v2/health/live", "/v2/health/ready"})
VALID_FORM = "expected Authorization: Bearer KEY or X-API-Key: KEY with a valid API key"
_POLICY_VIOLATION = 1008  # WebSocket close code

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Authorising(Protocol):
    """What the guard needs of the keys."""

    def authorised(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None: ...


class Guard:
    """Lets requests with a valid key through to `app`, and those of OPEN_PATHS without one.

    `refused` is told the status of each answer that the app had no part in.
    """

    def __init__(self, app: App, keys: Authorising, refused: Callable[[int], None]) -> None:
        self._app, self._keys, self._refused = app, keys, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan" or self._keys.authorised(scope["headers"]) is not None:
            await self._app(scope, receive, send)
        elif kind != "http":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        elif scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
        else:
            error = unauthorised()
            self._refused(error.status)
            await respond(send, error.status, body_of(error), error.headers)


def unauthorised() -> RequestError:
    """401 with the challenge that RFC 9110 section 11.6.1 demands; the same whether a key was missing or wrong."""
    return RequestError(401, f"the API key is missing or not valid; {VALID_FORM}", ((b"www-authenticate", b"Bearer"),))
