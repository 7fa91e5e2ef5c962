"""Results of benchmarks as docs/results keeps them, for the tables that measured.py and drilled.py make."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def origin(content: dict[str, Any]) -> str:
    return f"Commit `{content['commit']}`, {content['machine']}"


def when_measured(name: str, made: Callable[[], str]) -> str:
    """The table of a result that not every release measures, or that there is none."""
    return made() if (RESULTS / f"{name}.json").exists() else "Not measured yet."


def held(bar: object, does: bool) -> str:
    """A bar with its verdict."""
    return f"{bar} {'holds' if does else 'MISSED'}"
