"""The error budget of a drill: how much of it is gone, and whether the alerts told the faults that are known.

A budget is what an objective allows to be bad ("The Site Reliability Workbook", chapters 2 and 5). Alerts are those of
`drillyard.core.burn`, with a drill's time compressed so that minutes stand for days.
"""

import math
from collections.abc import Mapping, Sequence

from drillyard.core.burn import WORKBOOK, BurnRule, Firing, Objective, Severity, compressed, firings
from drillyard.core.contract import Frozen
from drillyard.core.slo import DrillPlan, DrillResult, FaultMark

PERIOD_S = 30 * 86_400  # what a budget is given for
# One minute of a drill stands for a day, so a drill of 3 minutes sees the longest window (3 days) whole.
COMPRESSION = 1440.0
AVAILABILITY, LATENCY = "availability", "latency"  # the objectives of a promise: answers at all, answers in time

Counts = Sequence[float]  # one number a second, from the start of the drill


class Burnt(Frozen):
    """What one objective's budget went through."""

    objective: str
    allowed: float
    bad: int
    total: int
    spent: float | None  # share of the drill's own budget; above 1 it is overdrawn. None: see `spent`
    period_spent: float | None  # share of the budget of 30 days, the drill's time being compressed


class FaultScore(Frozen):
    """How the alerts did on a fault that is known to have struck."""

    fault: str
    page_after_s: float | None  # seconds from the blow to the first page; None: nobody was called
    ticket_after_s: float | None
    bad: int  # bad requests from the blow to the recovery, of all objectives


class BudgetScore(Frozen):
    """Budgets and alerts of one drill; `DrillResult.extra["budget"]` holds it."""

    compression: float
    spent: float | None  # of the objective that is worst off
    objectives: tuple[Burnt, ...]
    firings: tuple[Firing, ...]
    faults: tuple[FaultScore, ...]
    pages: int
    false_pages: int  # pages that began while no fault was in the system
    false_tickets: int


def spent(bad: float, allowed: float, total: float) -> float | None:
    """Share of a budget that is gone; None when nothing was allowed and something was bad, for no share says that."""
    if bad == 0:
        return 0.0
    budget = allowed * total
    return bad / budget if budget > 0 else None


def worst(shares: Sequence[float | None]) -> float | None:
    """The largest share spent; None is beyond all numbers."""
    known = [share for share in shares if share is not None]
    return max(known) if known and len(known) == len(shares) else None


def score(
    objectives: Sequence[Objective],
    faults: Sequence[FaultMark] = (),
    *,
    before_rps: float,
    compression: float = COMPRESSION,
    rules: Sequence[BurnRule] = WORKBOOK,
) -> BudgetScore:
    """Budgets spent, alerts fired, and how well they told the faults that struck."""
    shrunk = compressed(rules, compression)
    found = tuple(firing for each in objectives for firing in firings(each, shrunk, before_rps))
    grace_s = {rule.name: math.ceil(rule.short_s) for rule in shrunk}
    false = [firing for firing in found if not any(_tells(firing, fault, grace_s) for fault in faults)]
    burnt = tuple(_burnt(each, before_rps, compression) for each in objectives)
    return BudgetScore(
        compression=compression,
        spent=worst([each.spent for each in burnt]),
        objectives=burnt,
        firings=found,
        faults=tuple(_fault_score(fault, found, grace_s, objectives) for fault in faults),
        pages=_count(found, "page"),
        false_pages=_count(false, "page"),
        false_tickets=_count(false, "ticket"),
    )


def allowed(plan: DrillPlan) -> dict[str, float]:
    """Which share of the requests each objective of the promise lets be bad; a promised p99 lets 1% be slow."""
    return {AVAILABILITY: plan.slo.max_error_rate, LATENCY: (100 - plan.percentile) / 100}


def objectives(plan: DrillPlan, series: Mapping[str, Counts]) -> tuple[Objective, ...]:
    """What the promise of the plan makes of a result's counts a second (ok, errors, slow)."""
    share = allowed(plan)
    ok, errors, slow = (tuple(series[name]) for name in ("ok", "errors", "slow"))
    ended = tuple(a + b for a, b in zip(ok, errors, strict=True))
    return (
        Objective(name=AVAILABILITY, allowed=share[AVAILABILITY], bad=errors, total=ended),
        Objective(name=LATENCY, allowed=share[LATENCY], bad=slow, total=ok),
    )


def scored(result: DrillResult) -> DrillResult:
    """The result with its budget in `extra`; to be called again once the faults that struck it are known."""
    found = score(objectives(result.plan, result.series), result.faults, before_rps=result.offered_rps)
    return result.model_copy(update={"extra": {**result.extra, "budget": found.model_dump(mode="json")}})


def of(result: DrillResult) -> BudgetScore | None:
    """The budget that a result carries; results from before there was one have none."""
    found = result.extra.get("budget")
    return BudgetScore.model_validate(found) if found is not None else None


def _burnt(objective: Objective, before_rps: float, compression: float) -> Burnt:
    bad, total = sum(objective.bad), sum(objective.total)
    return Burnt(
        objective=objective.name,
        allowed=objective.allowed,
        bad=int(bad),
        total=int(total),
        spent=spent(bad, objective.allowed, total),
        period_spent=spent(bad, objective.allowed, before_rps * PERIOD_S / compression),
    )


def _tells(firing: Firing, fault: FaultMark, grace_s: Mapping[str, int]) -> bool:
    """Did the alert begin while the fault was in the system, or as soon after as its short window still shows it?"""
    over_s = math.inf if fault.recovered_s is None else fault.recovered_s + grace_s[firing.rule]
    return fault.struck_s <= firing.from_s <= over_s


def _fault_score(
    fault: FaultMark, found: Sequence[Firing], grace_s: Mapping[str, int], objectives: Sequence[Objective]
) -> FaultScore:
    def after_s(severity: Severity) -> float | None:
        told = [f.from_s for f in found if f.severity == severity and _tells(f, fault, grace_s)]
        return min(told) - fault.struck_s if told else None

    begin = math.floor(fault.struck_s)
    end = None if fault.recovered_s is None else math.ceil(fault.recovered_s)
    return FaultScore(
        fault=fault.fault,
        page_after_s=after_s("page"),
        ticket_after_s=after_s("ticket"),
        bad=int(sum(sum(each.bad[begin:end]) for each in objectives)),
    )


def _count(found: Sequence[Firing], severity: Severity) -> int:
    return sum(firing.severity == severity for firing in found)
