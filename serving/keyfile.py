"""API keys at rest: `name:sha256hex`, a key a line in a file, or separated by white space in the environment.

A key is 256 random bits, so a plain sha256 hides it: nobody can try 2**256 candidates. The slow salted hashes that
guessable passwords need would add milliseconds to each request and keep nobody out.
"""

import hashlib
import re
import secrets
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from drillyard.core.errors import UsageError

FORM = "NAME:SHA256, where NAME is up to 64 of A-Z a-z 0-9 . _ - and SHA256 is 64 hexadecimal digits"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LINE = re.compile(rf"({_NAME.pattern}):([0-9a-f]{{64}})")


@dataclass(frozen=True, kw_only=True)
class KeyHash:
    """All that is kept of a key."""

    name: str  # may stand in logs
    digest: bytes  # 32 bytes, sha256 of the key as it stands in the header

    @classmethod
    def of(cls, name: str, key: str) -> Self:
        return cls(name=name, digest=hashlib.sha256(key.encode()).digest())

    def __str__(self) -> str:
        return f"{self.name}:{self.digest.hex()}"


def new_key() -> str:
    """256 random bits as 43 characters that need no quoting in a header or a shell."""
    return secrets.token_urlsafe(32)


def parse(text: str, source: str) -> tuple[KeyHash, ...]:
    """The keys in `text`; lines that are empty or start with `#` are skipped. Raises UsageError naming `source`.

    The message counts rather than quotes: what stands in the wrong place may be a key itself.
    """
    words = [word for line in text.splitlines() if not line.lstrip().startswith("#") for word in line.split()]
    found: dict[str, KeyHash] = {}
    for number, word in enumerate(words, start=1):
        match = _LINE.fullmatch(word)
        if match is None:
            raise UsageError(source, f"entry {number} of {len(words)}", FORM)
        if match[1] in found:
            raise UsageError(source, f"name {match[1]} twice", "each name once")
        found[match[1]] = KeyHash(name=match[1], digest=bytes.fromhex(match[2]))
    return tuple(found.values())


def read(path: Path) -> tuple[KeyHash, ...]:
    """The keys of a file. Raises UsageError: not readable, writable by others than its owner, or malformed."""
    try:
        if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise UsageError("API key file", str(path), "a file that only its owner can write (chmod go-w)")
        text = path.read_text(encoding="ascii")
    except OSError as error:
        expected = f"a readable file ({error.strerror}); make one with `drillyard serve key add NAME`"
        raise UsageError("API key file", str(path), expected) from None
    except UnicodeDecodeError:
        raise UsageError("API key file", str(path), f"lines of {FORM}") from None
    return parse(text, f"API key file {path}")


def add(path: Path, name: str) -> str:
    """Make a key of that name in the file, which is made when it is missing; the key, which is kept nowhere else.

    Raises UsageError: the name is taken or not of the valid form, the file is not one of keys.
    """
    if not _NAME.fullmatch(name):
        raise UsageError("NAME", name, "up to 64 of A-Z a-z 0-9 . _ -")
    present = read(path) if path.exists() else ()
    if name in (each.name for each in present):
        raise UsageError("NAME", name, f"a name that {path} does not hold yet; add a second one, then remove this")
    key = new_key()
    _write(path, (*present, KeyHash.of(name, key)))
    return key


def remove(path: Path, name: str) -> None:
    """Take the key of that name out of the file. Raises UsageError when it is not there."""
    present = read(path)
    left = tuple(each for each in present if each.name != name)
    if len(left) == len(present):
        raise UsageError(
            "NAME", name, f"a name that {path} holds ({', '.join(e.name for e in present) or 'it is empty'})"
        )
    _write(path, left)


def _write(path: Path, keys: tuple[KeyHash, ...]) -> None:
    """Replace the file in one step: a server that re-reads it meanwhile sees the old keys or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as scratch:  # mode 0600
        scratch.write("".join(f"{key}\n" for key in keys))
    Path(scratch.name).replace(path)
