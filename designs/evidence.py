"""Evidence: measured numbers with their origin, kept in `designs/<system>/evidence.json`.

A design names what it rests on (`FromResult`, `Claim`); `collect` writes the values down, `verify` holds them against
the results and the code as they are now.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from drillyard.core.contract import Frozen
from drillyard.core.errors import UsageError

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"

ANY_MACHINE = "any"  # of what code alone decides

Reduce = Literal["only", "mean", "median", "min", "max"]


class FromResult(Frozen):
    """A number that a benchmark wrote into docs/results."""

    kind: Literal["result"] = "result"
    key: str
    unit: str
    says: str
    result: str  # file in docs/results, without .json
    path: str  # into it, by `/`: a field, an index, `*` for all of a list, `field.field=value` for those that have it
    reduce: Reduce = "only"
    command: str  # that measures it again
    # What it measures. Modules, or `module.py::name` for one definition, that must be as they were then; comments and
    # docstrings apart. For figures that seed and code decide.
    same: tuple[str, ...] = ()
    # Folders whose commits since then are counted; for timings, which any commit may move a little.
    ages: tuple[str, ...] = ()


class Claim(Frozen):
    """A number that takes seconds to compute or measure again, without training."""

    kind: Literal["claim"] = "claim"
    key: str  # also the function in designs/<system>/claims.py
    unit: str
    says: str
    tolerance: float | None = None  # factor by which a ratio measured again may differ; None: it must be equal


Source = FromResult | Claim


class Evidence(Frozen):
    """One measured number and where it came from."""

    value: float
    unit: str
    says: str
    commit: str
    machine: str
    n: int
    spread: tuple[float, float] | None = None  # lowest and highest of the n
    command: str
    result: str | None = None  # file below docs/results
    path: str | None = None
    code: str | None = None  # digest of what must be the same (see designs/freshness.py)

    def parts(self) -> dict[str, float]:
        """What prose may name beside the value: `key.n`, and `key.low` and `key.high` where there is a spread."""
        low_high = {} if self.spread is None else {"low": self.spread[0], "high": self.spread[1]}
        return {"n": float(self.n), **low_high}


_REDUCTIONS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean": mean,
    "median": median,
    "min": min,
    "max": max,
}
_FILE = TypeAdapter(dict[str, Evidence])


def path_of(design: str) -> Path:
    """Where a design's evidence lies."""
    return ROOT / "designs" / design / "evidence.json"


def read(design: str) -> dict[str, Evidence]:
    """What was collected for a design; nothing when the file is not there. Raises UsageError."""
    path = path_of(design)
    try:
        return _FILE.validate_json(path.read_bytes()) if path.exists() else {}
    except ValidationError as error:
        raise UsageError(
            "evidence", str(path), f"what `drillyard design collect` writes: {error.errors()[0]}"
        ) from None


def write(design: str, evidence: Mapping[str, Evidence]) -> Path:
    """Keep a design's evidence, in order of key."""
    path = path_of(design)
    content = {key: evidence[key].model_dump(mode="json", exclude_none=True) for key in sorted(evidence)}
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def read_result(name: str) -> Any:
    """A result file's content; None when it was never measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_bytes()) if path.exists() else None


def nodes_at(content: Any, path: str) -> list[Any]:
    """All that a path leads to. Raises KeyError when it leads nowhere."""
    found = [content]
    for step in path.split("/"):
        found = [child for each in found for child in _children(each, step)]
    if not found:
        raise KeyError(f"{path} leads nowhere")
    return found


def _children(node: Any, step: str) -> list[Any]:
    field, equals, wanted = step.partition("=")
    if equals:
        return [item for item in (node if isinstance(node, list) else [node]) if _field(item, field) == wanted]
    if isinstance(node, list):
        return node if step == "*" else [node[int(step)]]
    if isinstance(node, dict) and step in node:
        return [node[step]]
    raise KeyError(f"no {step!r} in {node!r:.80}")


def _field(item: Any, dotted: str) -> str:
    for name in dotted.split("."):
        item = item[name]
    return str(item)


def reduced(values: Sequence[float], how: Reduce) -> float:
    """One number of many. Raises ValueError when only one was expected."""
    if how == "only":
        if len(values) != 1:
            raise ValueError(f"one number was expected, {len(values)} were found")
        return values[0]
    return _REDUCTIONS[how](values)


def from_result(source: FromResult, content: Mapping[str, Any], code: str | None) -> Evidence:
    """What a result file says now: numbers, or a summary with median, low, high and n. Raises KeyError, ValueError."""
    nodes = nodes_at(content, source.path)
    spread: tuple[float, float] | None
    match nodes:
        case [{"median": float() as value, "low": float() as low, "high": float() as high} as summary]:
            n, spread = summary["n"] if "n" in summary else summary["rounds"], (low, high)
        case _:
            values = [float(node) for node in nodes]
            value, n = reduced(values, source.reduce), len(values)
            spread = (min(values), max(values)) if n > 1 else None
    return Evidence(
        value=value,
        unit=source.unit,
        says=source.says,
        commit=content["commit"],
        machine=content["machine"],
        n=n,
        spread=spread,
        command=source.command,
        result=f"{source.result}.json",
        path=source.path,
        code=code,
    )
