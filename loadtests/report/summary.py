"""A drill's result in a few figures: what the documentation's tables and the terminal say of it."""

from typing import Any

from drillyard.core import provenance
from drillyard.core.slo import DrillPlan, DrillResult, Verdict
from loadtests.judge.hypothesis import in_words, told

_FIGURES = ("offered_rps", "goodput_rps", "requests", "errors", "late_sends", "p50_ms", "p99_ms", "commit", "machine")


def row(result: DrillResult, *, plot: str) -> dict[str, Any]:
    """What the result says in plain values, its plot's file name beside."""
    return {
        **_asked(result.plan),
        "verdict": result.verdict.value,
        "reasons": list(result.reasons),
        "hypothesis_held": result.hypothesis_held,
        "findings": [in_words(finding) for finding in result.findings],
        **{name: getattr(result, name) for name in _FIGURES},
        "budget_spent": result.extra["budget"]["spent"],
        "plot": plot,
    }


def unmeasured(plan: DrillPlan, reason: str) -> dict[str, Any]:
    """A drill that came to no result."""
    return {
        **_asked(plan),
        "verdict": Verdict.INVALID.value,
        "reasons": [reason],
        "hypothesis_held": None,
        "findings": [],
        **dict.fromkeys(_FIGURES),
        "commit": provenance.commit(),
        "machine": provenance.machine(),
        "budget_spent": None,
        "plot": None,
    }


def lines(result: DrillResult) -> list[str]:
    """For the terminal, while others are still to come."""
    plan = result.plan
    reasons = "; ".join(result.reasons)
    head = f"{plan.name} of {plan.model}: {result.verdict}{f' ({reasons})' if reasons else ''}"
    return [head, *told(result)]


def _asked(plan: DrillPlan) -> dict[str, Any]:
    return {
        "drill": plan.name,
        "system": plan.model.partition("/")[0],
        "load": plan.load.words,
        "hypothesis": plan.hypothesis.text if plan.hypothesis else "",
    }
