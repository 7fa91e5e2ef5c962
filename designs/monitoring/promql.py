"""Pieces of PromQL, as text."""

from collections.abc import Sequence

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def duration(seconds: float) -> str:
    """Whole seconds as Prometheus writes them: 300 is `5m`, 259200 is `3d`."""
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    return f"{seconds // size:.0f}{unit}"


def series(name: str, *matchers: str) -> str:
    """Series of that name; a matcher is such as `code="200"`."""
    return f"{name}{{{','.join(matchers)}}}" if matchers else name


def increase_a_second(selectors: Sequence[str], window: str) -> str:
    """The sum of the counters' rates over the window; a counter that nobody has exported counts as standing still."""
    return " + ".join(f"(sum(rate({each}[{window}])) or vector(0))" for each in selectors)


def share(part: str, whole: str) -> str:
    """`part / whole`; nothing while the whole is zero, since a share of no requests says nothing."""
    return f"({part}) / (({whole}) > 0)"
