"""The binary tensor data extension: tensors as raw bytes behind the JSON of a body.

Specification: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
(KServe documents the same extension).
"""

from typing import Any

from serving.protocol.errors import RequestError, shown

EXTENSION = "binary_tensor_data"  # its name in the server's metadata
HEADER = b"inference-header-content-length"  # the JSON's bytes, when binary data follows it
CONTENT_TYPE = b"application/octet-stream"  # of bodies that are not JSON alone
HEADER_NAME = "Inference-Header-Content-Length"  # as people write it


def json_bytes(value: bytes, body_bytes: int) -> int | None:
    """How many bytes of the body are JSON, by the header's value; None without the header. Raises RequestError."""
    if not value:
        return None
    # Twenty digits are more than any body has bytes; int() itself refuses thousands of them with a ValueError.
    if not value.isdigit() or len(value) > 20 or not 1 <= int(value) <= body_bytes:
        valid = f"the length of the JSON, from 1 to the body's {body_bytes} bytes"
        raise RequestError(400, f"header {HEADER_NAME}={shown(value.decode('latin-1'))} is not valid; expected {valid}")
    return int(value)


class Tail:
    """What follows the JSON in a body. Tensors take their bytes from it, in the order in which they are listed."""

    def __init__(self, body: bytes, json_bytes: int) -> None:
        self._rest = memoryview(body)[json_bytes:]

    def take(self, field: str, size: Any) -> memoryview:
        """The next `size` bytes, not copied; `size` is what the request says in `field`. Raises RequestError."""
        if type(size) is not int or not 0 <= size <= len(self._rest):
            left = f"a whole number of bytes, at most the {len(self._rest)} that are left in the body"
            raise RequestError(400, f"{field}={shown(size)} is not valid; expected {left}")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def finish(self) -> None:
        """Every byte must belong to a tensor. Raises RequestError."""
        if self._rest:
            message = f"{len(self._rest)} bytes follow the last tensor's data; expected none"
            raise RequestError(400, f"{message} (each tensor's part is its parameters.binary_data_size)")


def no_tail(field: str, size: Any) -> RequestError:
    """A tensor claims binary data in a request that was sent as JSON alone."""
    return RequestError(400, f"{field}={shown(size)} is not valid; binary data needs the header {HEADER_NAME}")
