"""Commands that a benchmark runs as processes of their own, and the most memory that all of theirs took together."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

_LOOK_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What became of a command."""

    elapsed_s: float
    peak_rss_bytes: int  # sum over its processes; pages that several of them share count in each
    output: str


def run(command: Sequence[str], env: Mapping[str, str], timeout_s: float = 300) -> Ran:
    """Run it to its end, and look at its and its descendants' memory meanwhile. Ends the benchmark if it fails."""
    started, peak = time.monotonic(), 0
    with subprocess.Popen(command, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        root = psutil.Process(process.pid)
        while True:
            peak = max(peak, _rss(root))
            if time.monotonic() - started > timeout_s:
                process.terminate()
            with suppress(subprocess.TimeoutExpired):
                output, said = process.communicate(timeout=_LOOK_S)
                break
        elapsed_s = time.monotonic() - started
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed ({process.returncode}):\n{said[-2000:]}")
    return Ran(elapsed_s=elapsed_s, peak_rss_bytes=peak, output=output)


def _rss(root: psutil.Process) -> int:
    total = 0
    with suppress(psutil.NoSuchProcess):
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total
