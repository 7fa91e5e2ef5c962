"""Many prepared requests over a few kept-alive connections, as fast as the server takes them."""

import socket
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

_AT_ONCE = 16  # requests sent before their answers are read: the sender must not be what limits the pace


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """One whole HTTP/1.1 request, and the status it must get."""

    name: str
    raw: bytes
    status: int


def prepared(
    name: str, status: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> Prepared:
    fields = {"host": "drillyard", "content-length": str(len(body))} | (headers or {})
    lines = [f"{method} {path} HTTP/1.1", *(f"{key}: {value}" for key, value in fields.items())]
    return Prepared(name=name, status=status, raw="\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def flood(port: int, mix: Sequence[Prepared], total: int, connections: int) -> Counter[tuple[str, int]]:
    """Send `total` requests, the mix over and over; the answers counted by request name and status."""
    share = total // connections

    def one_connection(index: int) -> Counter[tuple[str, int]]:
        todo = [mix[(index + i) % len(mix)] for i in range(share)]
        counts: Counter[tuple[str, int]] = Counter()
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            answers = connection.makefile("rb", buffering=2**16)
            for start in range(0, len(todo), _AT_ONCE):
                batch = todo[start : start + _AT_ONCE]
                connection.sendall(b"".join(request.raw for request in batch))
                for request in batch:
                    counts[request.name, _status(answers)] += 1
        return counts

    with ThreadPoolExecutor(connections) as pool:
        return sum(pool.map(one_connection, range(connections)), Counter())


def _status(answers: "socket.SocketIO") -> int:  # type: ignore[type-arg]
    """Read one answer whole."""
    line = answers.readline()
    assert line, "the server closed a connection that it should have kept"
    status, length = int(line.split()[1]), 0
    while (field := answers.readline()) not in (b"\r\n", b""):
        if field.lower().startswith(b"content-length:"):
            length = int(field.split(b":")[1])
    answers.read(length)
    return status
