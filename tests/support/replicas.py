"""The processes that answer for a model."""

from contextlib import suppress
from pathlib import Path

from drillyard.core import processes


def replicas(run_dir: Path, model: str = "fraud") -> set[int]:
    """Process ids of the replicas of the server with that run folder."""
    found = set()
    for pid in processes.belonging_to(run_dir):
        with suppress(FileNotFoundError):  # it ended meanwhile
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(f"ray::ServeReplica:{model}".encode()):
                found.add(pid)
    return found
