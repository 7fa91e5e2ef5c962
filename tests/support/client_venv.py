"""A virtual environment for a client whose dependencies do not agree with ours; made once for each list of packages."""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from drillyard.core.settings import Settings


def python_with(requirements: Path, cache: Path) -> Path:
    """The interpreter of an environment under `cache` that holds exactly `requirements`.

    Skips the test where pip reaches no index, and only there.
    """
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = cache / "clients" / f"{requirements.stem}-{digest}-py{sys.version_info[0]}{sys.version_info[1]}"
    python, whole = folder / "bin" / "python", folder / "whole"
    if not whole.exists():
        venv.create(folder, clear=True, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(requirements)]
        done = subprocess.run(install, capture_output=True, text=True, timeout=600, check=False)
        if "after connection broken by" in done.stderr and done.returncode != 0:
            # A machine without an index can still run everything else; `.ci/run` needs one to install at all.
            pytest.skip(f"pip reaches no index, so {requirements.stem} cannot be installed")
        assert done.returncode == 0, done.stderr
        whole.touch()
    return python


def user_cache() -> Path:
    """Where downloads lie that checkouts share."""
    return Settings.from_env(os.environ).cache
