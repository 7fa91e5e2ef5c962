"""Who may ask: the API keys of a running server, whether a request came over REST or gRPC."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable
from hmac import compare_digest
from pathlib import Path

from drillyard.core.errors import UsageError
from serving import keyfile
from serving.keyfile import KeyHash
from serving.logs import LOGGER
from serving.protocol.guard import App, Guard
from serving.recipes import ServeConfig

LOOK_EVERY_S = 1.0  # at most so often is the file looked at
log = logging.getLogger(LOGGER)


class KeyRing:
    """The keys that are valid now: some for good, and those of a file, which is re-read when it changes.

    A file that becomes unreadable or malformed leaves the last good keys valid and is logged; a file without keys is
    well formed, and lets nobody in.
    """

    def __init__(self, fixed: tuple[KeyHash, ...], file: Path | None) -> None:
        """Raises UsageError when the file cannot be read now: there are no last good keys yet."""
        self._fixed, self._file = fixed, file
        self._stamp = _stamp(file)  # before reading: a change meanwhile is seen at the next look
        self._keys = (*fixed, *(keyfile.read(file) if file is not None else ()))
        self._next_look_s = time.monotonic() + LOOK_EVERY_S

    @property
    def names(self) -> tuple[str, ...]:
        """Of the keys that are valid now."""
        return tuple(key.name for key in self._keys)

    def authorised(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The name of the key in these headers (lower-case names); None when there is none, or it is not valid.

        Some microseconds, growing with the number of keys: each is compared in constant time, also after a match.
        """
        given = key_in(headers)
        if given is None:
            return None
        if self._file is not None and time.monotonic() >= self._next_look_s:
            self._look()
        digest = hashlib.sha256(given).digest()
        name = None
        for key in self._keys:
            if compare_digest(key.digest, digest):
                name = key.name
        return name

    def _look(self) -> None:
        self._next_look_s = time.monotonic() + LOOK_EVERY_S
        stamp = _stamp(self._file)
        if self._file is None or stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = (*self._fixed, *keyfile.read(self._file))
        except UsageError as error:
            log.error("%s; the last good API keys stay valid", error)
        else:
            log.warning("API keys read again; valid now: %s", ", ".join(self.names) or "none")


def ring_of(config: ServeConfig) -> KeyRing | None:
    """The keys that this server asks for; None when it asks for none. Raises UsageError."""
    if not config.asks_for_keys:
        return None
    return KeyRing(keyfile.parse("\n".join(config.keys), "keys"), config.keys_file)


def check(config: ServeConfig) -> None:
    """Raises UsageError when a server that asks for keys could let nobody in."""
    ring = ring_of(config)
    if ring is not None and not ring.names:
        where = str(config.keys_file or "keys")
        raise UsageError("API keys", where, "at least one key; make it with `drillyard serve key add NAME`")


def guarded(app: App, keys: KeyRing | None, refused: Callable[[int], None]) -> App:
    """The app behind these keys, or as it is when there are none to ask for."""
    return app if keys is None else Guard(app, keys, refused)


def key_in(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The key of `Authorization: Bearer KEY` (RFC 6750) or `X-API-Key: KEY`, the first there is; None without one."""
    for name, value in headers:
        if name == b"x-api-key":
            return value
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip()
    return None


def _stamp(file: Path | None) -> tuple[int, ...] | None:
    """What changes with the file; None when it is not there."""
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
