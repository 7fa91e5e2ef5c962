"""Files that only their owner may read: the one way by which a password or key travels here."""

import os
import shutil
from pathlib import Path


def write(path: Path, content: str, owner: str | None = None) -> Path:
    """Write the file with mode 0600, given to user `owner` where one is named; returns its path."""
    path.unlink(missing_ok=True)  # else an older file would keep its mode and owner
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    if owner is not None:
        shutil.chown(path, owner)
    return path
