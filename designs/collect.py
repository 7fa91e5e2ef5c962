"""Write down what a design rests on: values out of docs/results, and claims computed or measured here."""

import importlib
from collections.abc import Callable, Mapping
from statistics import median
from subprocess import CalledProcessError
from typing import Any

import designs
from designs import evidence, freshness
from designs.evidence import Claim, Evidence, FromResult
from drillyard.core import provenance
from drillyard.core.errors import UsageError

ROUNDS = 15  # of a ratio that is to be kept
QUICK_ROUNDS = 5  # of one that is only checked


def collect(name: str, *, measure: bool, say: Callable[[str], None]) -> dict[str, Evidence]:
    """Evidence of a design as results and code say it now.

    Ratios that need a clock are measured when `measure` is true, else those that were kept stay. What has no result
    file yet is left out. Raises UsageError when a result file is not of the form that the design expects.
    """
    kept = evidence.read(name)
    found: dict[str, Evidence] = {}
    for source in designs.get(name).evidence:
        say(source.key)
        match source:
            case FromResult():
                content = evidence.read_result(source.result)
                if content is not None:
                    code = _code(source, content["commit"], kept.get(source.key))
                    found[source.key] = _from_result(source, content, code)
            case Claim(tolerance=None):
                found[source.key] = _unless_same(kept.get(source.key), _computed(name, source))
            case Claim():
                if measure or source.key not in kept:
                    found[source.key] = _measured(name, source)
                else:
                    found[source.key] = kept[source.key]
    return found


def _from_result(source: FromResult, content: Mapping[str, Any], code: str | None) -> Evidence:
    try:
        return evidence.from_result(source, content, code)
    except (LookupError, TypeError, ValueError) as error:
        form = f"a result with {source.path} ({error}); run: {source.command}"
        raise UsageError(source.key, f"docs/results/{source.result}.json", form) from None


def _code(source: FromResult, commit: str, kept: Evidence | None) -> str | None:
    """The digest of what was measured; as it was kept where that commit is not to be had in this checkout.

    Raises CalledProcessError when it is not, and nothing was kept of that commit.
    """
    try:
        return freshness.digest(source.same, freshness.at_commit(commit))
    except CalledProcessError:
        if kept is None or kept.commit != commit:
            raise
        return kept.code


def compute_claim(name: str, claim: Claim) -> float:
    """A claim that code alone decides."""
    return float(_function(name, claim)())


def measure_claim(name: str, claim: Claim, rounds: int) -> list[float]:
    """A ratio of two timings, once a round."""
    return [float(value) for value in _function(name, claim)(rounds)]


def _function(name: str, claim: Claim) -> Callable[..., Any]:
    return getattr(importlib.import_module(f"designs.{name}.claims"), claim.key)


def _computed(name: str, claim: Claim) -> Evidence:
    return _evidence(
        name, claim, [compute_claim(name, claim)], {"machine": evidence.ANY_MACHINE, "commit": provenance.commit()}
    )


def _measured(name: str, claim: Claim) -> Evidence:
    return _evidence(name, claim, measure_claim(name, claim, ROUNDS), provenance.stamp())


def _evidence(name: str, claim: Claim, values: list[float], origin: Mapping[str, str]) -> Evidence:
    return Evidence(
        value=median(values),
        unit=claim.unit,
        says=claim.says,
        commit=origin["commit"],
        machine=origin["machine"],
        n=len(values),
        spread=(min(values), max(values)) if len(values) > 1 else None,
        command=f"drillyard design collect {name}" + (" --measure" if claim.tolerance else ""),
    )


def _unless_same(kept: Evidence | None, found: Evidence) -> Evidence:
    """A value that has not changed keeps the commit that first said so, unless its files were not committed then."""
    if kept is None or kept.commit.endswith("-dirty"):
        return found
    return kept if kept.model_copy(update={"commit": found.commit}) == found else found
