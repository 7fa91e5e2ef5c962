"""The issue pack: known production failures, each of which can be had, seen and mended here in two minutes.

The loads fit the recipes in `serving/mistakes.py`, whose limits are waits and not cores: 310 requests/s a replica.
"""

from collections.abc import Callable

from drillyard.core.errors import UsageError
from drillyard.core.load import Load, Spike
from drillyard.core.slo import DrillPlan, Slo, Strike
from drillyard.core.traffic import Retries
from loadtests.issue_pack import averages
from loadtests.issue_pack.issue import Figure, Issue, Side

SLO = Slo(p50_ms=100, p99_ms=200, max_error_rate=0.001)
GOODPUT = Figure(path="goodput_rps", words="right answers within 200 ms, a second")
FAILED = Figure(path="extra.error_rate", words="share of requests that failed")
P99 = Figure(path="p99_ms", words="p99 of answers, ms")
REFUSED = Figure(path="extra.server.drillyard_proxy_unserved_total", words="refused by the proxy")


def _plan(model: str, load: Load, *, strikes: tuple[Strike, ...] = (), retries: Retries | None = None) -> DrillPlan:
    return DrillPlan(model=model, load=load, slo=SLO, strikes=strikes, retries=retries)


def batches_never_fill(model: str) -> Issue:
    plan = _plan(model, Load(rate_rps=600, duration_s=15))
    return Issue(
        name="batches-never-fill",
        symptom="A model with batching serves less than without, at any load, and every answer takes the batch's wait.",
        shows="rows of a call (drillyard_batch_rows) stay at max_ongoing_requests, below the batch size",
        fix="max_ongoing_requests above the batch size, so that a whole batch can be in the replica",
        figures=(GOODPUT, Figure(path="extra.server.rows_per_call", words="rows of a call"), FAILED),
        better="higher",
        ratio=1.2,
        broken=Side(recipe="batches-never-fill", plan=plan),
        fixed=Side(recipe="batches-fill", plan=plan),
    )


def autoscaler_lag(model: str) -> Issue:
    plan = _plan(model, Load(rate_rps=100, duration_s=30, shape=Spike(factor=5, at_s=5, lasts_s=25)))
    return Issue(
        name="autoscaler-lag",
        symptom="A spike is over before the replicas that it called for have come.",
        shows="seconds from the start of the load to the second replica; reporting, averaging and delay add up",
        fix="report and average over seconds, a delay of a second up (and a minute down), and some headroom",
        figures=(FAILED, Figure(path="extra.server.second_replica_s", words="second replica after, s"), REFUSED),
        better="lower",
        ratio=1.3,
        broken=Side(recipe="slow-scaling", plan=plan),
        fixed=Side(recipe="quick-scaling", plan=plan),
    )


def rolling_update(model: str) -> Issue:
    strikes = (Strike(fault="rolling-restart", at_s=4),)
    plan = _plan(model, Load(rate_rps=150, duration_s=30), strikes=strikes)
    return Issue(
        name="rolling-update",
        symptom="Each rolling update costs some requests, although there was room for all of them at every moment.",
        shows="errors at the marks of the update; kept-alive connections that a leaving replica closed",
        fix="let the proxy give a lost request to another replica, and drain before leaving",
        figures=(
            Figure(path="errors", words="failed requests"),
            Figure(path="extra.server.drillyard_proxy_retries_total", words="given to another replica"),
            P99,
        ),
        better="lower",
        ratio=1.5,
        broken=Side(recipe="no-replay", plan=plan, replicas=2),
        fixed=Side(recipe=None, plan=plan, replicas=2),
    )


def retry_storm(model: str) -> Issue:
    load = Load(rate_rps=250, duration_s=20, shape=Spike(factor=2, at_s=5, lasts_s=10))
    return Issue(
        name="retry-storm",
        symptom="In an overload the server is asked several times for each request that it refuses.",
        shows="sends for each request, which only clients (or the proxy's count of refusals) can tell",
        fix="pauses that double and are random, and a budget of retries that all clients share",
        figures=(Figure(path="extra.sends_per_request", words="sends for each request"), REFUSED, GOODPUT),
        better="lower",
        ratio=1.3,
        broken=Side(recipe="narrow", plan=_plan(model, load, retries=Retries(attempts=6))),
        fixed=Side(recipe="narrow", plan=_plan(model, load, retries=Retries(attempts=6, backoff_s=0.1, budget=0.1))),
    )


def unbounded_queue(model: str) -> Issue:
    plan = _plan(model, Load(rate_rps=420, duration_s=20))
    return Issue(
        name="unbounded-queue",
        symptom="At little more than its capacity a server answers everybody, but nobody in time.",
        shows="latency that grows as long as the load lasts, while no request fails and the replicas are healthy",
        fix="bound the wait (queue_timeout_s), and refuse the rest at once with 503 and Retry-After",
        figures=(GOODPUT, P99, FAILED),
        better="higher",
        ratio=2.0,
        broken=Side(recipe="unbounded-queue", plan=plan),
        fixed=Side(recipe="narrow", plan=plan),
    )


def averaged_percentiles(model: str) -> Issue:
    del model  # arithmetic alone
    return Issue(
        name="averaged-percentiles",
        symptom="The dashboard's p99 is fine and customers complain: one worker is slow, and the average hides it.",
        shows="the mean of the workers' p99 beside the p99 of their merged histograms",
        fix="merge histograms (HDR, or Prometheus buckets summed before histogram_quantile), never average percentiles",
        figures=(
            Figure(path="off", words="how far the claimed p99 is from the true one, share of it"),
            Figure(path="claimed_ms", words="claimed p99, ms"),
            Figure(path="true_ms", words="true p99, ms"),
        ),
        better="lower",
        ratio=2.0,
        broken=averages.averaged,
        fixed=averages.merged,
    )


ISSUES: dict[str, Callable[[str], Issue]] = {
    make("a-model").name: make
    for make in (
        batches_never_fill,
        autoscaler_lag,
        rolling_update,
        retry_storm,
        unbounded_queue,
        averaged_percentiles,
    )
}


def get(name: str, model: str) -> Issue:
    """The issue, asked of that model. Raises UsageError."""
    try:
        return ISSUES[name](model)
    except KeyError:
        raise UsageError("issue", name, "one of " + ", ".join(ISSUES)) from None
