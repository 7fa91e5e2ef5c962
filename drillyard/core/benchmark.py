"""What benchmarks have in common: they say how far they are, take ratios within rounds, and keep their figures."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from drillyard.core.settings import Settings


def say(text: str) -> None:
    """A line of progress, on standard error."""
    sys.stderr.write(text + "\n")


def alternating(contenders: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Number of the round (from 1) and whose turn it is.

    Each round starts with another contender, so that none always runs on the machine's better moments.
    """
    for number in range(rounds):
        turn = number % len(contenders)
        for name in (*contenders[turn:], *contenders[:turn]):
            yield number + 1, name


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest of some rounds, and how many there were."""
    return {"median": median(values), "low": min(values), "high": max(values), "n": len(values)}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Ours over theirs, taken within rounds: what slows the machine in one slows both."""
    return spread([mine / other for mine, other in zip(ours, theirs, strict=True)])


def keep(settings: Settings, name: str, content: Mapping[str, Any]) -> Path:
    """Write the figures to NAME.json among the reports; its path."""
    path = settings.reports / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path
