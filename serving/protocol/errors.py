"""The one exception a request can end with, and its JSON form."""

from typing import Any

import orjson

JSON = b"application/json"
SHOWN_CHARS = 80  # a value in a message is cut to this, so that a message never carries a payload


class RequestError(Exception):
    """The request cannot be answered; `message` names the field, its value and the valid form.

    `status` is the HTTP status: 4xx when the request is at fault, 5xx when the server is. `headers` go with it.
    """

    def __init__(self, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(status, message, headers)  # all arguments, so that it survives pickling between processes
        self.status, self.message, self.headers = status, message, headers

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"


def body_of(error: RequestError) -> bytes:
    """`{"error": "..."}`; a lone surrogate in the message would not be UTF-8, so it is replaced."""
    return orjson.dumps({"error": error.message.encode("utf-8", "replace").decode("utf-8")})


def shown(value: Any) -> str:
    """A value as it may stand in an error message: its repr, cut short."""
    if isinstance(value, list | dict) and len(value) > 8:
        return f"{type(value).__name__} of {len(value)} values"
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "..."


def too_large(limit_bytes: int) -> RequestError:
    """413 for a body, as sent or once decompressed."""
    return RequestError(413, f"the body is too large; expected at most {limit_bytes} bytes")


def method_not_allowed(method: str, path: str, allow: str) -> RequestError:
    """405 with the Allow header that RFC 9110 section 15.5.6 demands."""
    return RequestError(405, f"method {method} is not allowed on {path}; use {allow}", ((b"allow", allow.encode()),))
