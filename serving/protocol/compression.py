"""Compressed request bodies, without trusting them: never more bytes out, or in, than the limit."""

import zlib
from collections.abc import Iterator

from serving.protocol.errors import RequestError, shown, too_large

# zlib's window bits: 15 for its own format, which is what HTTP calls deflate (RFC 9110 section 8.4.1), 31 for gzip.
_WINDOW_BITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
_STEP_BYTES = 2**18  # decompressed at a time, so that little is held beyond what the limit allows


class Decompressor:
    """One body: feed it what arrives, then finish. Raises RequestError: 415 unknown, 413 too large, 400 damaged."""

    def __init__(self, coding: bytes, limit_bytes: int) -> None:
        name = coding.strip().lower()
        if name not in _WINDOW_BITS:
            given = shown(coding.decode("latin-1"))
            raise RequestError(415, f"content-encoding={given} is not valid; expected gzip, deflate or identity")
        self._stream = zlib.decompressobj(_WINDOW_BITS[name])
        self._name, self._limit_bytes = name.decode(), limit_bytes
        self._taken = self._given = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The pieces that `chunk` decompresses to."""
        self._taken += len(chunk)
        if self._taken > self._limit_bytes:  # empty blocks can be sent for ever, and decompress to nothing
            raise too_large(self._limit_bytes)
        full = True
        while full:  # a step that filled up may have left output behind, even when it took all input
            try:
                piece = self._stream.decompress(chunk, _STEP_BYTES)
            except zlib.error as error:
                raise RequestError(400, f"the body is not valid {self._name}: {error}") from None
            self._given += len(piece)
            if self._given > self._limit_bytes:
                raise too_large(self._limit_bytes)
            if self._stream.unused_data:
                raise RequestError(400, f"bytes follow the end of the {self._name} body; expected none")
            yield piece
            full, chunk = len(piece) == _STEP_BYTES, self._stream.unconsumed_tail

    def finish(self) -> None:
        """The body must have been whole."""
        if not self._stream.eof:
            raise RequestError(400, f"the {self._name} body is cut short; expected its end")
