"""The question, the design and its measured answers; one folder a system."""

import importlib
from pathlib import Path

from designs.design import Design
from drillyard.core.errors import UsageError


def names() -> list[str]:
    """Every design there is: the folders here that hold a `design.py`."""
    return sorted(path.parent.name for folder in __path__ for path in Path(folder).glob("*/design.py"))


def systems() -> list[str]:
    """The designs of one registered model each."""
    return [name for name in names() if get(name).is_system]


def get(name: str) -> Design:
    """The design of that name. Raises UsageError."""
    if name not in names():
        raise UsageError("design", name, "one of " + ", ".join(names()))
    found: Design = importlib.import_module(f"designs.{name}.design").DESIGN
    return found
