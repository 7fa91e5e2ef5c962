"""API keys: their file, who is let in, rotation while the server runs, and what the guard lets nobody reach."""

import asyncio
import logging
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drillyard.core.contract import ModelRef
from drillyard.core.errors import UsageError
from serving import keyfile, keys
from serving.keyfile import KeyHash
from serving.keys import KeyRing
from serving.protocol.asgi import Receive, Scope, Send, respond
from serving.protocol.guard import Guard
from serving.recipes import ServeConfig, is_loopback, laptop
from tests.serving.conftest import call_app


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "api-keys"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the key ring sees; add to them."""
    seconds = [100.0]
    monkeypatch.setattr("serving.keys.time.monotonic", lambda: seconds[0])
    return seconds


def bearer(key: str) -> list[tuple[bytes, bytes]]:
    return [(b"accept", b"*/*"), (b"authorization", b"Bearer " + key.encode())]


def test_a_made_key_is_admitted_by_either_header_and_only_its_hash_is_kept(file: Path) -> None:
    key = keyfile.add(file, "alice")
    ring = KeyRing((), file)
    assert ring.authorised(bearer(key)) == "alice"
    assert ring.authorised([(b"authorization", b"bearer  " + key.encode())]) == "alice"
    assert ring.authorised([(b"x-api-key", key.encode())]) == "alice"
    assert len(key) == 43  # 256 bits, six a character
    assert key not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_several_keys_have_names_and_one_can_be_taken_back(file: Path) -> None:
    alice, bob = keyfile.add(file, "alice"), keyfile.add(file, "bob")
    ring = KeyRing((KeyHash.of("fixed", "k"),), file)
    assert ring.names == ("fixed", "alice", "bob")
    assert [ring.authorised(bearer(key)) for key in (alice, bob, "k")] == ["alice", "bob", "fixed"]
    with pytest.raises(UsageError, match="NAME='alice' is not valid"):
        keyfile.add(file, "alice")
    with pytest.raises(UsageError, match=r"keys holds \(alice, bob\)"):
        keyfile.remove(file, "carol")
    keyfile.remove(file, "alice")
    assert keyfile.read(file) == (KeyHash.of("bob", bob),)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"Basic c2VjcmV0")],
        [(b"authorization", b"secret")],
        [(b"x-api-key", b"")],
        [(b"x-api-key", b"Secret")],
        [(b"x-api-key", b"secret ")],
        [(b"x-api-key", KeyHash.of("a", "secret").digest.hex().encode())],
        [(b"cookie", b"secret")],
    ],
)
def test_nothing_but_the_key_itself_lets_in(headers: list[tuple[bytes, bytes]]) -> None:
    ring = KeyRing((KeyHash.of("a", "secret"),), None)
    assert ring.authorised([(b"x-api-key", b"secret")]) == "a"
    assert ring.authorised(headers) is None


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.binary(max_size=80))
def test_no_other_bytes_let_in(value: bytes) -> None:
    ring = KeyRing((KeyHash.of("a", keyfile.new_key()),), None)
    assert ring.authorised([(b"authorization", b"Bearer " + value)]) is None


def test_every_key_is_compared_in_constant_time_also_after_a_match(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr("serving.keys.compare_digest", compare)
    hashes = tuple(KeyHash.of(name, name) for name in "abc")
    for word, name in (("a", "a"), ("nobody", None)):
        compared.clear()
        assert KeyRing(hashes, None).authorised(bearer(word)) == name
        assert [a for a, _ in compared] == [each.digest for each in hashes]


def test_rotation_needs_no_restart_and_looks_at_most_once_a_second(file: Path, clock: list[float]) -> None:
    old = keyfile.add(file, "old")
    ring = KeyRing((), file)
    new = keyfile.add(file, "new")
    keyfile.remove(file, "old")
    clock[0] += 0.9
    assert (ring.authorised(bearer(old)), ring.authorised(bearer(new))) == ("old", None)
    clock[0] += 0.2
    assert (ring.authorised(bearer(old)), ring.authorised(bearer(new))) == (None, "new")
    keyfile.remove(file, "new")  # a file without keys is well formed: revoking the last key must work
    clock[0] += 1.1
    assert ring.authorised(bearer(new)) is None


def break_by_text(file: Path) -> None:
    file.write_text("alice:not-a-hash\n")


def break_by_bytes(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")


def break_by_mode(file: Path) -> None:
    file.chmod(0o666)


@pytest.mark.parametrize("damage", [break_by_text, break_by_bytes, break_by_mode, Path.unlink])
def test_a_broken_file_leaves_the_last_good_keys_and_is_logged_once(
    file: Path, clock: list[float], caplog: pytest.LogCaptureFixture, damage: Any
) -> None:
    key = keyfile.add(file, "alice")
    ring = KeyRing((), file)
    damage(file)
    with caplog.at_level(logging.WARNING, logger="drillyard"):
        for _ in range(3):
            clock[0] += 1.1
            assert ring.authorised(bearer(key)) == "alice"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert str(file) in caplog.text
    file.unlink(missing_ok=True)
    fresh = keyfile.add(file, "fresh")
    clock[0] += 1.1
    with caplog.at_level(logging.WARNING, logger="drillyard"):
        assert (ring.authorised(bearer(key)), ring.authorised(bearer(fresh))) == (None, "fresh")
    assert "valid now: fresh" in caplog.text
    assert not any(secret in caplog.text for secret in (key, fresh))


def test_a_file_that_is_broken_at_the_start_is_an_error(file: Path) -> None:
    with pytest.raises(UsageError, match="make one with `drillyard serve key add NAME`"):
        KeyRing((), file)


@pytest.mark.parametrize("line", ["alice", "alice:", "alice:ABC", ":" + "0" * 64, "a b:" + "0" * 64, "a:" + "0" * 63])
def test_a_malformed_line_is_refused_without_showing_it(line: str) -> None:
    """Somebody may have put the key itself there."""
    with pytest.raises(UsageError, match="NAME:SHA256") as caught:
        keyfile.parse(f"# a comment\n\n{line}\n", "API key file f")
    assert line not in str(caught.value)


def test_a_name_twice_is_refused() -> None:
    line = str(KeyHash.of("a", "x"))
    with pytest.raises(UsageError, match="each name once"):
        keyfile.parse(f"{line} {line}", "DRILLYARD_SERVER_KEYS")


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\nb", "é", "x" * 65])
def test_a_name_that_cannot_stand_in_the_file_is_refused(file: Path, name: str) -> None:
    with pytest.raises(UsageError, match="NAME="):
        keyfile.add(file, name)
    assert not file.exists()


# The guard


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, 200, b'"reached"')


@pytest.fixture
def refused() -> list[int]:
    return []


@pytest.fixture
def guard(refused: list[int]) -> Guard:
    return Guard(hello, KeyRing((KeyHash.of("a", "secret"),), None), refused.append)


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready"])
def test_live_and_ready_are_open(guard: Guard, path: str) -> None:
    assert call_app(guard, "GET", path).status == 200


CLOSED = [
    "/",
    "/v2",
    "/metrics",
    "/docs",
    "/v2/models/fraud/ready",
    "/v2/health/live/",
    "/v2/health",
    "//v2/health/live",
]


@pytest.mark.parametrize("path", CLOSED)
def test_every_other_path_asks_for_a_key(guard: Guard, refused: list[int], path: str) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}):
        reply = call_app(guard, "POST", path, b"{}", headers)
        assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
        assert "Authorization: Bearer KEY or X-API-Key: KEY" in reply.json["error"]
        assert "wrong" not in reply.json["error"]
    assert call_app(guard, "POST", path, b"{}", {"authorization": "Bearer secret"}).body == b'"reached"'
    assert refused == [401, 401], "who is refused is told to the metrics, who is let through is not"


def test_a_websocket_without_a_key_is_closed(guard: Guard) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/v2/health/live", "headers": []}
    asyncio.run(guard(scope, None, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]


# The configuration


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    assert is_loopback(host)
    assert keys.ring_of(laptop("fraud", host=host)) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "example.org", "localhost.example.org", "::ffff:0:0"])
def test_every_other_host_demands_keys(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(UsageError, match="serve key add NAME"):
        laptop("fraud", host=host)
    config = ServeConfig(models=(ModelRef.parse("fraud"),), host=host, keys=(str(KeyHash.of("a", "secret")),))
    ring = keys.ring_of(config)
    assert ring is not None
    assert ring.authorised(bearer("secret")) == "a"


def test_a_file_without_keys_does_not_start_a_server(file: Path) -> None:
    keyfile.add(file, "a")
    keyfile.remove(file, "a")
    config = ServeConfig(models=(ModelRef.parse("fraud"),), keys_file=file)
    with pytest.raises(UsageError, match="at least one key"):
        keys.check(config)
    keyfile.add(file, "b")
    keys.check(config)


def test_the_file_is_replaced_in_one_step(file: Path) -> None:
    """A server that reads meanwhile holds either the old file or the new one; nothing else is left beside it."""
    keyfile.add(file, "a")
    with file.open() as held:
        keyfile.add(file, "b")
        assert len(held.read().splitlines()) == 1
    assert list(file.parent.iterdir()) == [file]
