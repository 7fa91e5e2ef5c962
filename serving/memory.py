"""A limit on how far a process may grow, so that one that leaks is replaced before the machine runs out of memory."""

import os
import random
from collections.abc import Callable
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_EARLIEST = 0.75  # share of the limit


class GrownError(Exception):
    """The process holds more than it may."""


def resident_bytes() -> int:
    """Memory of this process that is in RAM now (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE_BYTES


class GrowthLimit:
    """Raises once the process has grown too far since this object was made.

    Growth, not size: what a model needs is there from the start. Processes of equal load leak at an equal pace and
    would all be replaced at once; therefore each takes for itself, at random, three quarters of the limit to the whole.
    """

    def __init__(self, max_growth_bytes: int, resident: Callable[[], int] = resident_bytes) -> None:
        self._resident, self._begun_bytes = resident, resident()
        self._limit_bytes = int(max_growth_bytes * random.uniform(_EARLIEST, 1.0))

    def check(self) -> None:
        """Raises GrownError."""
        grown_bytes = self._resident() - self._begun_bytes
        if grown_bytes > self._limit_bytes:
            grown, limit = (f"{value / 2**20:.0f} MiB" for value in (grown_bytes, self._limit_bytes))
            raise GrownError(f"the process has grown by {grown} since it was ready; its limit is {limit}")
