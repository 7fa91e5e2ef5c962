"""Where a number came from: code commit and machine, for every result."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

_OF_IMAGE = Path(__file__).parents[2] / "COMMIT"


def stamp() -> dict[str, str]:
    """What every result file says of its origin."""
    return {"commit": commit(), "machine": machine(), "at": datetime.now(UTC).isoformat(timespec="seconds")}


def commit() -> str:
    """The checkout's commit, `-dirty` when files differ from it; `unknown` outside a git checkout.

    An image is none: the file COMMIT, which its build leaves beside the packages, says what it was made from.
    """
    if _OF_IMAGE.exists():
        return _OF_IMAGE.read_text().strip()
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def machine() -> str:
    """Processor, usable cores, memory and system; no host name, as reports are passed on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {cores} cores, {memory_gib:.0f} GiB, {platform.system()} {platform.machine()}"
