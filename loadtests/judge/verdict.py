"""A measurement -> PASS, FAIL or INVALID, with reasons.

INVALID judges the measurement, never the system: the generator fell behind, the drill was cut or too short, or too few
requests were sent for the percentile claimed. The last is the early-stopping rule of MLPerf LoadGen (MLPerf Inference
Rules, "Early stopping criterion"): with n requests of which t were over the bound, the true share over it is below 1%
at 99% confidence only if n is large enough: 459, 662, 838 requests allow 0, 1, 2 over a p99 bound; 44, 64, 81 a p90
bound.
"""

from scipy.special import bdtr

from drillyard.core.slo import DrillPlan, Verdict
from loadtests.generator.recorder import LATE_S, Measured

MAX_LATE_SHARE = 0.01
CONFIDENCE = 0.99


def binomial_cdf(k: int, n: int, p: float) -> float:
    """P[X <= k] for X of n trials with chance p each (0 < p < 1)."""
    return float(bdtr(k, n, p)) if k < n else 1.0


def queries_needed(over: int, percentile: float, confidence: float = CONFIDENCE) -> int:
    """The fewest requests that prove a percentile (in percent) when `over` of them were above its bound."""
    share = 1 - percentile / 100
    low = high = over + 1
    while binomial_cdf(over, high, share) > 1 - confidence:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if binomial_cdf(over, middle, share) > 1 - confidence:
            low = middle + 1
        else:
            high = middle
    return high


def allowed_over(timed: int, percentile: float) -> int | None:
    """How many of so many requests may lie above a percentile's bound; None when they are too few to show it."""
    if queries_needed(0, percentile) > timed:
        return None
    # queries_needed rises with `over`. More than are expected above the percentile can never prove it.
    low, high = 0, min(timed, int(timed * (1 - percentile / 100)) + 1)
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if queries_needed(middle, percentile) <= timed else (low, middle)
    return low


def judge(plan: DrillPlan, measured: Measured) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict and why it is not PASS.

    A broken bound is FAIL even in a short drill when chance does not explain it at 99% confidence (a dead system is
    not an untrustworthy measurement); a bound that holds but is not proven is INVALID.
    """
    untrusted = _generator_faults(measured)
    if untrusted:
        return Verdict.INVALID, tuple(untrusted)
    broken, short = _broken_bounds(plan, measured), _too_little(plan, measured)
    if short and not (broken and _beyond_chance(plan, measured)):
        return Verdict.INVALID, (*short, *broken)
    if broken:
        return Verdict.FAIL, tuple(broken)
    needed = queries_needed(measured.over_bound, plan.percentile)
    if measured.timed < needed:
        return Verdict.INVALID, (
            f"p{plan.percentile} not proven: {measured.timed} timed requests with {measured.over_bound} over "
            f"{plan.slo.p99_ms:g} ms; 99% confidence needs {needed}",
        )
    return Verdict.PASS, ()


def _too_little(plan: DrillPlan, measured: Measured) -> list[str]:
    little = []
    if plan.load.duration_s < plan.min_duration_s:
        little.append(f"{plan.load.duration_s:g} s < {plan.min_duration_s:g} s, the shortest drill that is trusted")
    least = queries_needed(0, plan.percentile)
    if measured.requests < least:
        little.append(f"{measured.requests} requests < {least}, the fewest that can show a p{plan.percentile}")
    return little


def fell_behind(late_sends: int, requests: int) -> bool:
    """Were so many requests sent late that the figures are the generator's own?"""
    return late_sends > MAX_LATE_SHARE * requests


def _generator_faults(measured: Measured) -> list[str]:
    faults = []
    if fell_behind(measured.late_sends, measured.requests):
        faults.append(
            f"generator fell behind: {measured.late_sends} of {measured.requests} sends more than "
            f"{LATE_S * 1000:g} ms late > {MAX_LATE_SHARE:.0%}"
        )
    ended = measured.ok + measured.errors + measured.rejected
    if ended < measured.scheduled:
        faults.append(f"drill was cut: {ended} of {measured.scheduled} scheduled requests ended")
    return faults


def _broken_bounds(plan: DrillPlan, measured: Measured) -> list[str]:
    slo, broken = plan.slo, []
    for percentile, bound in ((50.0, slo.p50_ms), (float(plan.percentile), slo.p99_ms)):
        value = measured.percentiles_ms[percentile]
        if value > bound:
            broken.append(f"p{percentile:g} {value:.1f} ms > {bound:g} ms")
    if measured.error_rate > slo.max_error_rate:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(measured.error_counts.items()))
        broken.append(f"error rate {measured.error_rate:.2%} > {slo.max_error_rate:.2%} ({kinds})")
    return broken


def _beyond_chance(plan: DrillPlan, measured: Measured) -> bool:
    """Would a system that just keeps its promise do this badly in fewer than 1 of 100 drills?"""
    allowed = min(max(plan.slo.max_error_rate, 1e-9), 1 - 1e-9)
    surely = [
        (measured.errors, measured.requests, allowed),
        (measured.over_bound, measured.timed, 1 - plan.percentile / 100),
    ]
    return any(bad and 1 - binomial_cdf(bad - 1, n, share) <= 1 - CONFIDENCE for bad, n, share in surely)
