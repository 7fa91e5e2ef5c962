"""What a design's promise says in the server's own counts: which share of the requests was bad.

A drill counts at the client, from the intended send time; here are the nearest counts that the server has of every
request, whoever sent it. What they cannot show (a wrong answer, time on the way) stands in docs/observability.md.
"""

from prometheus_client.utils import floatToGoString

from designs.monitoring.promql import increase_a_second, series, share
from drillyard.core.budget import AVAILABILITY, LATENCY
from drillyard.core.errors import UsageError
from drillyard.core.slo import DrillPlan
from serving import catalogue

BAD = {
    AVAILABILITY: "failed or were given no replica",
    LATENCY: "were answered later than the promised p99 allows",
}


def bad_share(objective: str, plan: DrillPlan, window: str) -> str:
    """The share of the model's requests over the window that were bad by this objective of the plan.

    Raises UsageError when no count of the server shows the promised latency.
    """
    return _failed(plan, window) if objective == AVAILABILITY else _slow(plan, window)


def _failed(plan: DrillPlan, window: str) -> str:
    """5xx of the replicas, and what HAProxy answered in their place. 4xx is the client's doing, and not counted."""
    requests, model = catalogue.REQUESTS.exposed_name, f'model="{plan.model}"'
    no_answer = series(catalogue.PROXY_FAILED.exposed_name, f'backend=~"(http|grpc)-{plan.model}"')
    failed = increase_a_second([series(requests, model, 'code=~"5.."'), no_answer], window)
    every = increase_a_second([series(requests, model, 'code!~"4.."'), no_answer], window)
    return share(failed, every)


def _slow(plan: DrillPlan, window: str) -> str:
    """Beyond the promised p99, which must be a bound of the server's histogram: a count between two is a guess."""
    bound_s, histogram = plan.slo.p99_ms / 1000, catalogue.LATENCY
    if bound_s not in histogram.buckets:
        valid = ", ".join(f"{bound * 1000:g}" for bound in histogram.buckets)
        raise UsageError(f"slo.p99_ms of {plan.model}", plan.slo.p99_ms, f"a bound of {histogram.name}: one of {valid}")
    model = f'model="{plan.model}"'
    bound = f'le="{floatToGoString(bound_s)}"'  # type: ignore[no-untyped-call]
    every = increase_a_second([series(f"{histogram.name}_count", model)], window)
    in_time = increase_a_second([series(f"{histogram.name}_bucket", model, bound)], window)
    return share(f"{every} - {in_time}", every)
