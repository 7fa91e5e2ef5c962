"""The highest Poisson rate at which a system keeps its promise: what MLPerf's Server scenario reports.

Each try is a drill of its own and counts as valid only when it is a PASS, so when enough requests over enough time
prove the percentile (see `loadtests.judge.verdict`).
"""

import math
from typing import Any

from drillyard.core.errors import InvalidMeasurement
from drillyard.core.slo import DrillPlan, DrillResult, Verdict
from loadtests.catalogue.entry import Once, base
from loadtests.judge.hypothesis import put_to_the_test
from loadtests.judge.verdict import fell_behind, queries_needed

PRECISION = 1.1  # the search ends when the lowest rate that is not valid is at most this times the highest valid one
MAX_TRIES = 12
ENOUGH = 1.2  # times the queries needed, since the number of arrivals is random


def highest_valid(plan: DrillPlan, run: Once) -> DrillResult:
    """The drill at the highest valid rate, with all tries in `extra["search"]`; the last try when none was valid.

    Doubles or halves the rate until a valid and an invalid one are known, then goes between them (the geometric mean).
    Raises InvalidMeasurement when the first rate cannot be measured.
    """
    rate_rps, low_rps, high_rps = base(plan).rate_rps, 0.0, math.inf
    best: DrillResult | None = None
    last: DrillResult | None = None
    tries: list[dict[str, Any]] = []
    by_generator = False
    while len(tries) < MAX_TRIES and high_rps > low_rps * PRECISION:
        try:
            last = run(at_rate(plan, rate_rps))
            tries.append(_told(rate_rps, last))
            behind = fell_behind(last.late_sends, last.requests)
        except InvalidMeasurement as refusal:
            if best is None:
                raise
            tries.append({"rate_rps": rate_rps, "verdict": Verdict.INVALID, "reasons": [str(refusal)], "p99_ms": None})
            behind = True
        if tries[-1]["verdict"] == Verdict.PASS:
            best, low_rps = last, rate_rps
        else:
            high_rps, by_generator = rate_rps, behind
        rate_rps = _next(low_rps, high_rps)
    found = best or last
    assert found is not None
    search = {"highest_rps": low_rps, "limited_by_generator": by_generator, "tries": tries}
    return put_to_the_test(found.model_copy(update={"extra": {**found.extra, "search": search}}))


def at_rate(plan: DrillPlan, rate_rps: float) -> DrillPlan:
    """The plan at another rate, and at least so long that it can prove its percentile with one request over."""
    load = base(plan)
    least_s = ENOUGH * queries_needed(1, plan.percentile) / rate_rps
    changes = {"rate_rps": rate_rps, "duration_s": max(load.duration_s, least_s)}
    return plan.model_copy(update={"load": load.model_copy(update=changes)})


def _next(low_rps: float, high_rps: float) -> float:
    if math.isinf(high_rps):
        return 2 * low_rps
    return math.sqrt(low_rps * high_rps) if low_rps else high_rps / 2


def _told(rate_rps: float, result: DrillResult) -> dict[str, Any]:
    return {
        "rate_rps": rate_rps,
        "verdict": result.verdict,
        "reasons": list(result.reasons),
        "p99_ms": result.p99_ms,
    }
