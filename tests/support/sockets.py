"""Which sockets listen, as the kernel tells it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


@dataclass(frozen=True)
class Listening:
    """One listening TCP socket."""

    port: int
    loopback: bool


def listening(pids: Iterable[int]) -> list[Listening]:
    """Every listening TCP socket of these processes, matched by inode."""
    inodes = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(descriptor.readlink())
            except OSError:  # closed meanwhile
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, _, port = fields[1].partition(":")
                found.append(Listening(port=int(port, 16), loopback=address in _LOOPBACK))
    return found
