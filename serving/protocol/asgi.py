"""The little of ASGI the routes need: read a body within a limit, send a response, name a refused method.

Types are those of https://asgi.readthedocs.io/en/latest/specs/www.html.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from serving.protocol.errors import JSON, RequestError

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]


class ClientGoneError(Exception):
    """The client closed the connection before its request was whole; there is nobody to answer."""


def header(scope: Scope, name: bytes) -> bytes:
    """The first value of a header, by its lower-case name; empty when it is absent."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """The whole body. Raises RequestError (413, before reading when the length is announced) and ClientGoneError."""
    length = header(scope, b"content-length")
    if length.isdigit() and int(length) > limit_bytes:
        raise _too_large(limit_bytes)
    if header(scope, b"content-encoding") not in (b"", b"identity"):
        encoding = header(scope, b"content-encoding").decode("latin-1")
        raise RequestError(415, f"content-encoding={encoding!r} is not valid; expected identity")
    message = await receive()
    if not message.get("more_body", False) and message["type"] == "http.request":
        return bytes(message.get("body", b""))  # nearly always: one message, no copy
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
        message = await receive()


async def respond(send: Send, status: int, body: bytes, headers: Headers = (), content_type: bytes = JSON) -> None:
    """One whole response."""
    fields = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive: Receive, send: Send) -> None:
    """Acknowledge start and end; what they would do belongs to the deployment's constructor."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _too_large(limit_bytes: int) -> RequestError:
    return RequestError(413, f"the body is too large; expected at most {limit_bytes} bytes")
