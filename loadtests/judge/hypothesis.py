"""What a drill was expected to show beside what it showed: a result -> the same result with its findings."""

from typing import Any

from drillyard.core.slo import DrillResult, Expectation, Finding, Verdict


def put_to_the_test(result: DrillResult) -> DrillResult:
    """The result with a finding for each expectation of its plan's hypothesis.

    An INVALID measurement neither confirms nor refutes, so it leaves the hypothesis open.
    """
    hypothesis = result.plan.hypothesis
    if hypothesis is None:
        return result
    findings = tuple(_finding(expectation, result) for expectation in hypothesis.expects)
    held = None if result.verdict is Verdict.INVALID else all(finding.held for finding in findings)
    return result.model_copy(update={"findings": findings, "hypothesis_held": held})


def _finding(expectation: Expectation, result: DrillResult) -> Finding:
    value = figure(result, expectation.figure)
    held = value is not None and _within(value, expectation)
    return Finding(expectation=expectation, measured=value, held=held)


def _within(value: float, expectation: Expectation) -> bool:
    low, high = expectation.at_least, expectation.at_most
    return (low is None or value >= low) and (high is None or value <= high)


def figure(result: DrillResult, path: str) -> float | None:
    """A number of the result by its dotted path, such as `p99_ms` or `extra.phases.after.p99_ms`; None without it."""
    name, *rest = path.split(".")
    value: Any = getattr(result, name, None)
    for key in rest:
        value = value.get(key) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) else None


def told(result: DrillResult) -> list[str]:
    """The hypothesis and how it fared, for people: one line, and one more for each figure that refutes it."""
    hypothesis = result.plan.hypothesis
    if hypothesis is None:
        return []
    fared = {True: "held", False: "refuted", None: "left open"}[result.hypothesis_held]
    lines = [f"hypothesis {fared}: {hypothesis.text}"]
    return lines + [f"  {in_words(finding)}" for finding in result.findings if not finding.held]


def in_words(finding: Finding) -> str:
    """Such as `p99_ms 61.2, expected at most 50`."""
    low, high = finding.expectation.at_least, finding.expectation.at_most
    bounds = " and ".join(
        f"{word} {bound:g}" for word, bound in (("at least", low), ("at most", high)) if bound is not None
    )
    measured = "not measured" if finding.measured is None else f"{finding.measured:.4g}"
    return f"{finding.expectation.figure} {measured}, expected {bounds}"
