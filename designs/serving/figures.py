"""What the serving tier starts from, and what follows by arithmetic."""

from designs import replicated
from designs.figures import Bound, Estimate, Input

INPUTS = (
    Input(
        key="peak_rps",
        value=20_000,
        unit="requests/s",
        says="small requests at the peak, all models together",
        source="assumed: the scoring calls of one large product",
    ),
    Input(
        key="models_count",
        value=5,
        unit="models",
        says="champions served",
        source="assumed: a product with a handful of scores",
    ),
    Input(
        key="cores_per_node_count",
        value=16,
        unit="cores",
        says="cores of a node",
        source="chosen: large enough that a proxy is a small share, small enough to lose",
    ),
    Input(
        key="proxy_cores_count",
        value=2,
        unit="cores",
        says="cores of a node kept for proxy, controller and system",
        source="chosen",
    ),
    *replicated.OPTIONS,
    replicated.HOURS_PER_MONTH,
    Input(
        key="promised_ratio",
        value=0.999,
        unit="",
        says="share of requests that must be answered rightly",
        source="chosen: what the fraud design promises",
    ),
    Input(
        key="proxy_deaths_per_month",
        value=0.1,
        unit="deaths/node/month",
        says="times that a node's proxy dies",
        source="assumed: about once a year and node, machine failures included",
    ),
    Input(
        key="asked_fastapi_ratio",
        value=0.8,
        unit="",
        says="requests a second over a hand-written FastAPI service that were asked for",
        source="serving/bench/bars.py",
    ),
    Input(
        key="asked_mlserver_ratio",
        value=2.5,
        unit="",
        says="requests a second over MLServer that were asked for",
        source="serving/bench/bars.py",
    ),
    Input(
        key="asked_default_ratio",
        value=12,
        unit="",
        says="requests a second over Ray Serve's quick start that were asked for",
        source="serving/bench/bars.py",
    ),
    Input(
        key="asked_single_ratio",
        value=0.85,
        unit="",
        says="images a second served one by one over the model alone that were asked for",
        source="serving/bench/bars.py",
    ),
    Input(
        key="load_rps",
        value=500,
        unit="requests/s",
        says="load under which faults were struck",
        source="docs/results/bench-faults.json: rate_rps",
    ),
)

ESTIMATES = (
    *replicated.capacity(),
    Estimate(
        key="least_replicas_count",
        unit="replicas",
        formula="models_count * zones_count",
        says="replicas that the models have if nobody asks: one in each zone",
    ),
    Estimate(
        key="nodes_count",
        unit="nodes",
        formula="zones_count * ceil(max(replicas_count, least_replicas_count) / zones_count"
        " / (cores_per_node_count - proxy_cores_count))",
        says="nodes that hold them, the same number in each zone",
    ),
    Estimate(
        key="nodes_eur_month",
        unit="EUR/month",
        formula="nodes_count * cores_per_node_count * core_hour_eur * hours_per_month",
        says="cost of the nodes",
    ),
    Estimate(
        key="framework_cores",
        unit="cores",
        formula="peak_rps * (cpu_us_at_16 - fastapi_cpu_us) / 1e6",
        says="cores that the tier costs at peak beyond a hand-written service",
    ),
    Estimate(
        key="framework_eur_month",
        unit="EUR/month",
        formula="framework_cores / target_utilisation_ratio * core_hour_eur * hours_per_month",
        says="what those cores cost",
    ),
    Estimate(
        key="proxy_lost_requests",
        unit="requests",
        formula="peak_rps / nodes_count * proxy_whole_s",
        says="requests lost at peak when one node's proxy dies and nobody looks at health",
    ),
    Estimate(
        key="budget_s_month",
        unit="s/month",
        formula="(1 - promised_ratio) * hours_per_month * 3600",
        says="error budget, as seconds of a whole outage",
    ),
    Estimate(
        key="proxy_budget_ratio",
        unit="",
        formula="proxy_deaths_per_month * proxy_whole_s / budget_s_month",
        says="share of the error budget that dying proxies take; the number of nodes cancels out",
    ),
    Estimate(
        key="fault_error_ratio",
        unit="",
        formula="proxy_failed_count / faults_requests_count",
        says="share of requests that failed in the drill of the proxy",
    ),
    Estimate(
        key="bytes_ratio",
        unit="",
        formula="rows_json_bytes / rows_binary_bytes",
        says="bytes of sixty-four rows as JSON over raw",
    ),
)

BOUNDS = (
    *replicated.bounds("requests"),
    Bound(key="proxy_budget_ratio", at_most=0.25, says="one kind of failure would eat the budget of all others"),
)
