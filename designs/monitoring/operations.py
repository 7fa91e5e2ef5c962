"""Alerts on what no promise shows, and users expect to be told: nobody answers, answers or inputs have changed."""

from designs.monitoring.promql import duration, increase_a_second, series, share
from designs.monitoring.rule import Alert, Group
from drillyard.core.summary import LARGE_PSI
from serving import catalogue
from serving.drift import HALF_LIFE_S
from serving.rollout import Limits

JOB = "drillyard"  # of the scrape, here and in k8s/components/monitoring
MAX_GIVEN_UP = 0.01  # of the requests, for want of room or time: a burst may do that, five minutes of it are no burst
_DOWN_S, _SHED_S, _COMPARED_S = 60, 300, 600


def group() -> Group:
    """Alerts that need no design."""
    drift = tuple(_drift(what, metric.name) for what, metric in _INDICES.items())
    return Group(name="drillyard-operations", rules=(_down(), _given_up(), _disagreement(), *drift))


def _down() -> Alert:
    up = series("up", f'job="{JOB}"')
    return Alert(
        alert="DrillyardDown",
        expr=f"{up} == 0 or absent({up})",
        for_s=_DOWN_S,
        severity="page",
        summary="The server does not answer Prometheus",
        description="No scrape of {{ $labels.instance }} has succeeded; neither promises nor any other alert can tell.",
    )


def _given_up() -> Alert:
    """Over all models: HAProxy's part has no model where a request named none."""
    window = duration(_SHED_S)
    lost = [catalogue.SHED.exposed_name, catalogue.PROXY_UNSERVED.exposed_name]
    given_up = increase_a_second(lost, window)
    every = increase_a_second([catalogue.REQUESTS.exposed_name, catalogue.PROXY_UNSERVED.exposed_name], window)
    return Alert(
        alert="DrillyardSheds",
        expr=f"{share(given_up, every)} > {MAX_GIVEN_UP:g}",
        for_s=_SHED_S,
        severity="ticket",
        summary="Requests are given up without an inference",
        description=(
            "{{ $value | humanizePercentage }} of the requests found no replica with room, or their caller's time was "
            "over before the model was asked: there is more load than replicas can take."
        ),
    )


def _disagreement() -> Alert:
    """The limit at which the supervisor ends a trial by default; a trial with another one goes on, and is told of."""
    window, by = duration(_COMPARED_S), "sum by (model, version)"
    compared = catalogue.COMPARISONS.exposed_name
    disagreed, both = (
        f"{by} (rate({series(compared, outcome)}[{window}]))"
        for outcome in ('outcome="disagree"', 'outcome=~"agree|disagree"')
    )
    limit = Limits().disagreed
    return Alert(
        alert="DrillyardChallengerDisagrees",
        expr=f"{share(disagreed, both)} > {limit:g}",
        severity="ticket",
        summary="{{ $labels.model }}: the challenger {{ $labels.version }} decides otherwise than the champion",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of the answers compared over {window} differ; "
            f"a trial usually ends at {limit:.0%}."
        ),
    )


_INDICES = {"Input": catalogue.INPUT_DRIFT, "Score": catalogue.SCORE_DRIFT}


def _drift(what: str, index: str) -> Alert:
    """As long as the counts need to forget half of what they saw, so that one odd batch of requests is over by then."""
    return Alert(
        alert=f"Drillyard{what}Drift",
        expr=f"max by (model, version) ({index}) > {LARGE_PSI:g}",
        for_s=int(HALF_LIFE_S),
        severity="ticket",
        summary=f"{{{{ $labels.model }}}}: the {what.lower()} is not distributed as it was in training",
        description=(
            f"The largest population stability index ({index}) is {{{{ $value | humanize }}}}; above {LARGE_PSI:g} "
            "is a large change. Look at the score's index first, and at the inputs' to find out why."
        ),
    )
