"""The question, the design and its measured answers; one folder a system."""

import importlib
import pkgutil
from importlib.util import find_spec

from designs.design import Design
from drillyard.core.errors import UsageError


def names() -> list[str]:
    """Every design there is: the packages of this folder that have a `design` module."""
    packages = [module.name for module in pkgutil.iter_modules(__path__) if module.ispkg]
    return sorted(name for name in packages if find_spec(f"designs.{name}.design") is not None)


def get(name: str) -> Design:
    """The design of that name. Raises UsageError."""
    if name not in names():
        raise UsageError("design", name, "one of " + ", ".join(names()))
    found: Design = importlib.import_module(f"designs.{name}.design").DESIGN
    return found
