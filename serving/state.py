"""What a server writes down about itself, so that another command can find it, judge it and end it."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from drillyard.core import processes
from drillyard.core.contract import Frozen
from drillyard.core.settings import Settings


class VariantState(Frozen):
    """What is served of one model; the counts are those of the present canary or shadow."""

    champion: int
    challenger: int | None = None
    percent: float = 0.0  # of the requests, answered by the challenger
    shadow: bool = False
    answered: int = 0  # by the challenger
    failed: int = 0  # of those, with a 500
    slow: int = 0  # of those, over the latency bound
    agreed: int = 0  # compared with the champion's answer
    disagreed: int = 0
    not_compared: int = 0  # under load, or because one of both failed
    max_difference: float = 0.0  # of any number compared
    event: str = ""  # the last change, when and why


class ServerState(Frozen):
    """One server; the file that holds it exists from its first moment to its last."""

    stage: Literal["starting", "ready"]
    progress: str  # what it is doing, for people
    pid: int  # of the supervisor, the process that started Ray
    pid_started: int  # its start time, see processes.start_time: pid and start time name one process for good
    run_dir: Path  # private folder; also the mark on each of the server's processes
    host: str
    port: int
    url: str
    grpc_address: str | None  # host:port; None: off
    models: dict[str, int]  # version by name
    variants: dict[str, VariantState] = Field(default_factory=dict)  # by name; empty until the first change
    started_at: str  # ISO 8601, UTC
    log: Path | None  # where a detached server's output goes

    @property
    def supervisor_runs(self) -> bool:
        return processes.is_running(self.pid, self.pid_started)


def now() -> str:
    """The time as states hold it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read(settings: Settings) -> ServerState | None:
    """The recorded server, running or not; None when there is none, or its record is not readable as one."""
    try:
        return ServerState.model_validate_json(settings.server_state.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write(settings: Settings, state: ServerState) -> None:
    """Replace the record in one step: a reader sees the old one or the new one."""
    settings.server_state.parent.mkdir(parents=True, exist_ok=True)
    scratch = settings.server_state.with_suffix(f".{os.getpid()}.tmp")
    scratch.write_text(state.model_dump_json(indent=2))
    scratch.replace(settings.server_state)


def clear(settings: Settings, state: ServerState) -> None:
    """End whatever is left of that server and remove its private folder and its record."""
    processes.end(state.run_dir)
    shutil.rmtree(state.run_dir, ignore_errors=True)
    current = read(settings)
    if current is not None and current.run_dir == state.run_dir:
        settings.server_state.unlink(missing_ok=True)
