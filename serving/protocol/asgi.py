"""The little of ASGI the routes need: read a body within a limit, send a response, name a refused method.

Types are those of https://asgi.readthedocs.io/en/latest/specs/www.html.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from serving.protocol.compression import Decompressor
from serving.protocol.errors import JSON, too_large

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
CLIENT_CLOSED_REQUEST = 499  # nginx's code for "nobody left to answer"; counted, never sent
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
    """The whole body, decompressed if it is compressed; `limit_bytes` holds for both of its sizes.

    Raises RequestError (413, before reading when the length is announced; 415 and 400 for its coding), ClientGoneError.
    """
    length = header(scope, b"content-length")
    if length.isdigit() and int(length) > limit_bytes:
        raise too_large(limit_bytes)
    if (coding := header(scope, b"content-encoding")) not in (b"", b"identity"):
        return await _read_compressed(receive, Decompressor(coding, limit_bytes))
    message = await receive()
    if not message.get("more_body", False) and message["type"] == "http.request":
        return bytes(message.get("body", b""))  # nearly always: one message, no copy
    chunks: list[bytes] = []
    size = 0
    while True:
        chunk = _chunk_of(message)
        size += len(chunk)
        if size > limit_bytes:
            raise too_large(limit_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
        message = await receive()


async def _read_compressed(receive: Receive, decompressor: Decompressor) -> bytes:
    pieces: list[bytes] = []
    more = True
    while more:
        message = await receive()
        pieces.extend(decompressor.feed(_chunk_of(message)))
        more = message.get("more_body", False)
    decompressor.finish()
    return b"".join(pieces)


def _chunk_of(message: Mapping[str, Any]) -> bytes:
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    return bytes(message.get("body", b""))


async def respond(send: Send, status: int, body: bytes, headers: Headers = (), content_type: bytes = JSON) -> None:
    """One whole response."""
    fields = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


class StatusWatch:
    """A `send` that passes everything on and remembers the answer's status, until there is one the status given."""

    def __init__(self, send: Send, unsent: int) -> None:
        self._send, self.status = send, unsent

    async def __call__(self, message: dict[str, Any]) -> None:
        self.status = message.get("status", self.status)
        await self._send(message)


async def lifespan(receive: Receive, send: Send) -> None:
    """Acknowledge start and end; what they would do belongs to the deployment's constructor."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
