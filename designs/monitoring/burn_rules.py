"""A design's promise as rules: what was bad over each window, what is left, and alerts on how fast it burns.

The rules of `drillyard.core.burn` and the shares of `drillyard.core.budget` are taken as they stand, so a drill that
pages and an alert that pages are the same statement about the same promise.
"""

from collections.abc import Iterable

from designs.design import Design
from designs.monitoring.objectives import BAD, bad_share
from designs.monitoring.promql import duration, series
from designs.monitoring.rule import Alert, Group, Recording
from drillyard.core import budget
from drillyard.core.burn import WORKBOOK, BurnRule

BAD_SHARE = "drillyard:slo_bad:ratio_rate"  # and the window
ALLOWED = "drillyard:slo_allowed:ratio"
LEFT = "drillyard:slo_budget_left:ratio"
PROMISED = "drillyard:slo_latency:seconds"
ALERT_WINDOWS_S = tuple(sorted({window_s for rule in WORKBOOK for window_s in (rule.short_s, rule.long_s)}))
WINDOWS_S = (*ALERT_WINDOWS_S, float(budget.PERIOD_S))
_LONG_S = tuple(window_s for window_s in WINDOWS_S if window_s > 86_400)  # of these each look reads days of counts,
_LONG_EVERY_S = 120  # so there are few; more than 5 minutes apart, an alert would not see them
_SHORT_S = tuple(window_s for window_s in WINDOWS_S if window_s not in _LONG_S)


def recorded(window_s: float) -> str:
    """The name under which the bad share over that window is kept."""
    return BAD_SHARE + duration(window_s)


def groups(design: Design) -> tuple[Group, Group]:
    """The rules of one design, in the order in which they use each other.

    Raises UsageError when the server does not count what is promised.
    """
    plan = design.drill
    latencies = (("0.5", plan.slo.p50_ms), (f"{plan.percentile / 100:g}", plan.slo.p99_ms))
    promised = [
        Recording(record=PROMISED, expr=f"vector({ms / 1000:g})", labels={**_names(design), "quantile": quantile})
        for quantile, ms in latencies
    ]
    long: list[Recording | Alert] = []
    short: list[Recording | Alert] = [*promised]
    for objective, allowed in budget.allowed(plan).items():
        long += [*_shares(design, objective, _LONG_S), *_left(design, objective, allowed)]
        short += [*_shares(design, objective, _SHORT_S), _allowed(design, objective, allowed)]
        short += [_alert(design, objective, allowed, rule) for rule in WORKBOOK]
    name = f"drillyard-slo-{design.name}"
    return Group(name=f"{name}-days", rules=tuple(long), every_s=_LONG_EVERY_S), Group(name=name, rules=tuple(short))


def _names(design: Design) -> dict[str, str]:
    return {"design": design.name, "model": design.drill.model}


def _labels(design: Design, objective: str) -> dict[str, str]:
    return {**_names(design), "objective": objective}


def _shares(design: Design, objective: str, windows_s: Iterable[float]) -> list[Recording]:
    return [
        Recording(
            record=recorded(window_s),
            expr=bad_share(objective, design.drill, duration(window_s)),
            labels=_labels(design, objective),
        )
        for window_s in windows_s
    ]


def _allowed(design: Design, objective: str, allowed: float) -> Recording:
    return Recording(record=ALLOWED, expr=f"vector({allowed:g})", labels=_labels(design, objective))


def _left(design: Design, objective: str, allowed: float) -> list[Recording]:
    """None where nothing is allowed: there is no budget of which something could be left."""
    if not allowed:
        return []
    expr = f"1 - {_of(design, objective, budget.PERIOD_S)} / {allowed:g}"
    return [Recording(record=LEFT, expr=expr, labels=_labels(design, objective))]


def _of(design: Design, objective: str, window_s: float) -> str:
    return series(recorded(window_s), f'design="{design.name}"', f'objective="{objective}"')


def _alert(design: Design, objective: str, allowed: float, rule: BurnRule) -> Alert:
    """Both windows above the factor, as `drillyard.core.burn` has it; of a promise of no error any error is above."""
    bound = f"{rule.factor:g} * {allowed:g}"
    long, short = (f"{_of(design, objective, window_s)} > {bound}" for window_s in (rule.long_s, rule.short_s))
    return Alert(
        alert=f"Drillyard{objective.capitalize()}Burn",
        expr=f"{long} and {short}",
        severity=rule.severity,
        labels={**_labels(design, objective), "rule": rule.name},
        summary=f"{design.drill.model}: the {objective} promised by the design {design.name} is at risk ({rule.name})",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of the requests of the last {duration(rule.long_s)} "
            f"{BAD[objective]}; the promise allows {allowed:.4%}, and this alert begins at {rule.factor:g} times that."
        ),
    )
