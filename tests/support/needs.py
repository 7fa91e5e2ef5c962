"""Tests that need a program of the machine are skipped where it is missing, and say what to install."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from drillyard.core import programs


def program(name: str, package: str, folders: Iterable[Path] = ()) -> str:
    """Its path; skips the test that asks where there is none."""
    try:
        return programs.find(name, package, folders)
    except programs.ProgramMissing as missing:
        # `.ci/run` installs every one of them; a developer without it is told the package.
        pytest.skip(str(missing))
