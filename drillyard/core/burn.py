"""Alerts on how fast an error budget burns, from counts of each second.

After "The Site Reliability Workbook" (Beyer et al., O'Reilly 2018), chapter 5, "Alerting on SLOs": an alert fires while
the burn rate is above a factor over both a long and a short window. The burn rate is the share of bad requests over the
share that the objective allows; at 1 the budget of a period is gone at the period's end.
"""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Literal

from drillyard.core.contract import Frozen

Severity = Literal["page", "ticket"]  # a page wakes somebody, a ticket waits for the morning


class BurnRule(Frozen):
    """Fires while both windows have burnt faster than `factor` times the allowed rate."""

    name: str
    severity: Severity
    long_s: float
    short_s: float
    factor: float


WORKBOOK = (
    BurnRule(name="1 h / 5 min", severity="page", long_s=3_600, short_s=300, factor=14.4),
    BurnRule(name="6 h / 30 min", severity="page", long_s=21_600, short_s=1_800, factor=6),
    BurnRule(name="3 d / 6 h", severity="ticket", long_s=259_200, short_s=21_600, factor=1),
)


class Objective(Frozen):
    """Which requests were bad, and which share of them may be."""

    name: str
    allowed: float  # share of the requests, 0 to 1
    bad: tuple[float, ...]  # each second
    total: tuple[float, ...]


class Firing(Frozen):
    """One alert from its beginning to its end, in seconds since the start of the drill."""

    objective: str
    rule: str
    severity: Severity
    from_s: float
    to_s: float | None  # None: still firing at the end


def compressed(rules: Sequence[BurnRule], by: float) -> tuple[BurnRule, ...]:
    """The same rules where `by` seconds pass in one; a window is at least the second that the counts resolve."""
    return tuple(
        rule.model_copy(update={"long_s": max(1.0, rule.long_s / by), "short_s": max(1.0, rule.short_s / by)})
        for rule in rules
    )


def firings(objective: Objective, rules: Sequence[BurnRule], before_rps: float) -> tuple[Firing, ...]:
    """When each rule fired. The rules are looked at when a second is over; windows are whole seconds, rounded up.

    A window that reaches back beyond the first second finds good requests there, `before_rps` of them a second: the
    system is taken to have been well before the drill.
    """
    bad, total = ([0.0, *accumulate(counts)] for counts in (objective.bad, objective.total))

    def above(end: int, window_s: float, factor: float) -> bool:
        seconds = math.ceil(window_s)
        begin = max(0, end - seconds)
        requests = total[end] - total[begin] + before_rps * max(0, seconds - end)
        return bad[end] - bad[begin] > factor * objective.allowed * requests

    found = []
    for rule in rules:
        fires = [
            above(end, rule.long_s, rule.factor) and above(end, rule.short_s, rule.factor) for end in range(len(bad))
        ]
        changes = [end for end, (was, now) in enumerate(pairwise([*fires[:1], *fires])) if was != now]
        for begin, end in zip(changes[::2], [*changes[1::2], None], strict=False):
            found.append(
                Firing(objective=objective.name, rule=rule.name, severity=rule.severity, from_s=begin, to_s=end)
            )
    return tuple(found)
