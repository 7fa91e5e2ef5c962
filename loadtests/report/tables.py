"""What a result says beside its promise, as rows of words: the terminal and the page show the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass

from drillyard.core import budget
from drillyard.core.budget import BudgetScore
from drillyard.core.slo import DrillResult, FaultMark, Finding


@dataclass(frozen=True, kw_only=True)
class Table:
    """A heading, a sentence that may be empty, column names and rows; `holds` says of each row whether it is good."""

    title: str
    text: str = ""
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    holds: Sequence[bool | None] = ()


def tables(result: DrillResult) -> list[Table]:
    """Those that have something to say: hypothesis, faults, error budget, alerts, quality."""
    score = budget.of(result)
    found = [_hypothesis(result), _faults(result, score), *([_budget(score), _alerts(score, result)] if score else [])]
    found.append(_quality(result))
    return [table for table in found if table is not None]


def hypothesis_verdict(result: DrillResult) -> str:
    """In one word, or nothing when there was no hypothesis."""
    if result.plan.hypothesis is None:
        return ""
    return {True: "held", False: "refuted", None: "left open"}[result.hypothesis_held]


def _hypothesis(result: DrillResult) -> Table | None:
    hypothesis = result.plan.hypothesis
    if hypothesis is None:
        return None
    return Table(
        title=f"Hypothesis {hypothesis_verdict(result)}",
        text=hypothesis.text,
        head=["figure", "expected", "measured"],
        rows=[_finding(finding) for finding in result.findings],
        holds=[finding.held for finding in result.findings],
    )


def _finding(finding: Finding) -> list[str]:
    expected = finding.expectation
    bounds = [(sign, bound) for sign, bound in (("≥", expected.at_least), ("≤", expected.at_most)) if bound is not None]
    words = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds)
    return [expected.figure, words, "no such figure" if finding.measured is None else f"{finding.measured:,.4g}"]


def _faults(result: DrillResult, score: BudgetScore | None) -> Table | None:
    if not result.faults:
        return None
    scores = score.faults if score else ()
    rows = []
    for place, mark in enumerate(result.faults):
        alerts = [_seconds(scores[place].page_after_s), f"{scores[place].bad:,}"] if scores else ["", ""]
        rows.append([mark.fault, f"at {mark.struck_s:.1f} s", *_after(mark), *alerts])
    head = ["fault", "struck", "noticed after", "recovered after", "page after", "bad requests"]
    return Table(title="Faults", head=head, rows=rows)


def _after(mark: FaultMark) -> list[str]:
    ends = (mark.detected_s, mark.recovered_s)
    return [_seconds(None if end is None else end - mark.struck_s) for end in ends]


def _budget(score: BudgetScore) -> Table:
    rows = [
        [each.objective, f"{each.allowed:.2%}", f"{each.bad:,} of {each.total:,}", *map(_share, spent)]
        for each in score.objectives
        for spent in [(each.spent, each.period_spent)]
    ]
    return Table(
        title="Error budget",
        head=["objective", "may be bad", "was bad", "budget spent", "of 30 days'"],
        rows=rows,
        holds=[each.spent is not None and each.spent <= 1 for each in score.objectives],
    )


def _alerts(score: BudgetScore, result: DrillResult) -> Table | None:
    if not score.firings:
        return None
    rows = [
        [firing.severity, firing.rule, firing.objective, f"{firing.from_s:g} s", until]
        for firing in score.firings
        for until in ["the end" if firing.to_s is None else f"{firing.to_s:g} s"]
    ]
    text = "A minute of the drill stands for a day."
    if result.faults:
        text += f" {score.false_pages} of {score.pages} pages were false: they began while no fault was in the system."
    return Table(title="Alerts", text=text, head=["alert", "windows", "objective", "from", "until"], rows=rows)


def _quality(result: DrillResult) -> Table | None:
    found = result.extra.get("quality")
    if not found:
        return None
    best, passes = found["unloaded"], len(found["t_s"])
    worst = {"answered": min, "precision": min, "missed": max}
    names = {
        "answered": "answered in time",
        "precision": f"precision in the top {found['reviewed']}",
        "missed": f"{found['weight']} missed, of {found['at_stake']:,.0f} at stake",
    }
    rows = [
        [words, f"{best.get(name, 1.0):.1%}", f"{sum(found[name]) / passes:.1%}", f"{worst[name](found[name]):.1%}"]
        for name, words in names.items()
    ]
    text = f"{passes} passes through the same {found['rows']:,} samples; a decision after the p99 bound is none."
    return Table(title="Quality under load", text=text, head=["", "unloaded", "mean", "worst pass"], rows=rows)


def _share(value: float | None) -> str:
    return "none was given" if value is None else f"{value:,.0%}" if value >= 0.1 or value == 0 else f"{value:.2%}"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"
