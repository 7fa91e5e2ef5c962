"""What every tier of equal one-core replicas over several zones has in common: options, arithmetic and bounds.

A design that uses it has the figure `peak_rps`, and one for the CPU time of a request.
"""

from designs.figures import Bound, Estimate, Input

SECONDS_PER_DAY = Input(key="seconds_per_day", value=86400, unit="s/day", says="seconds in a day", source="definition")
HOURS_PER_MONTH = Input(
    key="hours_per_month", value=730, unit="h/month", says="hours in a month", source="definition: a year / 12"
)

OPTIONS = (
    Input(
        key="target_utilisation_ratio",
        value=0.6,
        unit="",
        says="utilisation that replicas are planned for at peak",
        source="chosen: well below the knee of the queue",
    ),
    Input(
        key="zones_count",
        value=3,
        unit="zones",
        says="zones that serve at once",
        source="chosen: the loss of one leaves two thirds",
    ),
    Input(
        key="core_hour_eur",
        value=0.04,
        unit="EUR/core/h",
        says="price of a core",
        source="assumed: general-purpose cloud machines on demand",
    ),
)

COST = Estimate(
    key="serving_eur_month",
    unit="EUR/month",
    formula="replicas_count * core_hour_eur * hours_per_month",
    says="cost of the replicas",
)


def capacity(cpu_us: str = "cpu_us_per_request") -> tuple[Estimate, ...]:
    """How many replicas the peak needs, and how busy they are; `cpu_us` says what a request costs."""
    return (
        Estimate(
            key="peak_cores",
            unit="cores",
            formula=f"peak_rps * {cpu_us} / 1e6",
            says="cores that work without a pause at peak",
        ),
        Estimate(
            key="replicas_needed_count",
            unit="replicas",
            formula="ceil(peak_cores / target_utilisation_ratio)",
            says="replicas of one core each at the planned utilisation",
        ),
        Estimate(
            key="replicas_count",
            unit="replicas",
            formula="zones_count * ceil(replicas_needed_count / (zones_count - 1))",
            says="replicas over all zones, so that the others carry the peak when one is lost",
        ),
        Estimate(
            key="utilisation_ratio",
            unit="",
            formula="peak_cores / replicas_count",
            says="utilisation at peak with all zones",
        ),
        Estimate(
            key="utilisation_zone_lost_ratio",
            unit="",
            formula="utilisation_ratio * zones_count / (zones_count - 1)",
            says="utilisation at peak with one zone lost",
        ),
    )


def bounds(asked: str) -> tuple[Bound, ...]:
    """How busy the replicas may be; `asked` is what is shed beyond: requests, uploads."""
    return (
        Bound(
            key="utilisation_ratio",
            at_most=0.6,
            says="the queue before each replica grows steeply beyond the planned utilisation",
        ),
        Bound(key="utilisation_zone_lost_ratio", at_most=0.85, says=f"with a zone lost at peak, {asked} are shed"),
    )
