"""What the serving tier starts from, what was measured of it, and what follows by arithmetic."""

from designs.benchmarks import fault, overload, serve_cell, serve_ratio, twin
from designs.evidence import Claim, Source
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
    Input(
        key="target_utilisation_ratio",
        value=0.6,
        unit="",
        says="utilisation that replicas are planned for at peak",
        source="chosen: well below the knee of the queue",
    ),
    Input(key="zones_count", value=3, unit="zones", says="zones that serve at once", source="chosen"),
    Input(
        key="core_hour_eur",
        value=0.04,
        unit="EUR/core/h",
        says="price of a core",
        source="assumed: general-purpose cloud machines on demand",
    ),
    Input(key="hours_per_month", value=730, unit="h/month", says="hours in a month", source="definition: a year / 12"),
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

SERVERS: tuple[Source, ...] = (
    serve_cell("own_rps", "requests/s", "drillyard-2/one row/16/requests_per_s", "requests a second, two replicas"),
    serve_cell("own_p99_ms", "ms", "drillyard-2/one row/16/p99_ms", "p99 of them at saturation"),
    serve_cell(
        "cpu_us_per_request",
        "us",
        "drillyard-2/one row/16/cpu_us_per_request",
        "CPU time of a request, proxy included",
    ),
    serve_cell(
        "cpu_us_at_64",
        "us",
        "drillyard-2/one row/64/cpu_us_per_request",
        "the same at sixty-four connections",
    ),
    serve_cell(
        "fastapi_cpu_us", "us", "fastapi/one row/16/cpu_us_per_request", "CPU time of a request of the FastAPI service"
    ),
    serve_cell(
        "default_cpu_us",
        "us",
        "ray-default/one row/16/cpu_us_per_request",
        "CPU time of a request of Ray Serve's quick start",
    ),
    serve_ratio("over_fastapi", "drillyard-2/one row/fastapi/one row", "requests/s over the FastAPI service"),
    serve_ratio("over_mlserver", "drillyard-2/one row/mlserver/one row", "requests/s over MLServer"),
    serve_ratio("over_litserve", "drillyard-2/one row/litserve/one row", "requests/s over LitServe"),
    serve_ratio("over_bentoml", "drillyard-2/one row/bentoml/one row", "requests/s over BentoML"),
    serve_ratio("over_default", "drillyard-2/one row/ray-default/one row", "requests/s over Ray Serve's quick start"),
    serve_ratio(
        "binary_over_json",
        "drillyard-2/64 rows, binary/drillyard-2/one row",
        "rows/s with sixty-four binary rows a request over one JSON row",
    ),
    serve_ratio(
        "served_batched",
        "drillyard-1/64 images, binary/in-process-1/64 images, binary",
        "images/s over the model alone, sixty-four a request, one replica",
    ),
    serve_ratio(
        "served_single",
        "drillyard-1/one image, binary/in-process-1/one image, binary",
        "images/s over the model alone, one a request, one replica",
    ),
    serve_ratio(
        "served_single_two",
        "drillyard-2/one image, binary/in-process-2/one image, binary",
        "the same with two replicas on the two cores",
    ),
)

FAULTS: tuple[Source, ...] = (
    *twin("fraud"),
    fault("faults_requests_count", "requests", "kill-replica/requests", "requests asked during a fault"),
    fault("kill_failed_count", "requests", "kill-replica/failed", "failed when a replica was killed"),
    fault("kill_max_ms", "ms", "kill-replica/max_ms", "longest answer when a replica was killed"),
    fault("kill_whole_s", "s", "kill-replica/whole_again_s", "until the killed replica was replaced"),
    fault("freeze_failed_count", "requests", "freeze-replica/failed", "failed when a replica froze"),
    fault("freeze_max_ms", "ms", "freeze-replica/max_ms", "longest answer when a replica froze"),
    fault("controller_failed_count", "requests", "kill-controller/failed", "failed when the controller was killed"),
    fault("controller_max_ms", "ms", "kill-controller/max_ms", "longest answer when the controller was killed"),
    fault("version_failed_count", "requests", "new-version/failed", "failed during a change of version"),
    fault("version_max_ms", "ms", "new-version/max_ms", "longest answer during a change of version"),
    fault("proxy_failed_count", "requests", "kill-haproxy/failed", "failed when the only proxy was killed"),
    fault("proxy_whole_s", "s", "kill-haproxy/whole_again_s", "until the proxy was back"),
    overload("overload_goodput_ratio", "", "bars/goodput_ratio", "goodput at twice the capacity over that at capacity"),
    overload("refusal_p99_ms", "ms", "bars/refusal_p99_ms", "p99 of a refusal at twice the capacity"),
)


def _claim(key: str, unit: str, says: str, *, tolerance: float | None = None) -> Claim:
    return Claim(key=key, unit=unit, says=says, function=key, tolerance=tolerance)


CLAIMS: tuple[Source, ...] = (
    _claim("rows_json_bytes", "B", "body of a request of sixty-four rows, as JSON"),
    _claim("rows_binary_bytes", "B", "the same rows as raw bytes behind a JSON header"),
    _claim("decode_speedup", "", "CPU time of reading sixty-four rows from JSON over reading them raw", tolerance=2.0),
    _claim("queue_timeout_ms", "ms", "longest wait in the proxy before a request is refused"),
    _claim("answer_timeout_s", "s", "after which a request is given to another replica"),
    _claim("offload_ms", "ms", "expected time of a call above which it leaves the event loop"),
)

ESTIMATES = (
    Estimate(
        key="peak_cores",
        unit="cores",
        formula="peak_rps * cpu_us_per_request / 1e6",
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
        key="nodes_count",
        unit="nodes",
        formula="zones_count * ceil(replicas_count / zones_count / (cores_per_node_count - proxy_cores_count))",
        says="nodes that hold them, the same number in each zone",
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
    Estimate(
        key="nodes_eur_month",
        unit="EUR/month",
        formula="nodes_count * cores_per_node_count * core_hour_eur * hours_per_month",
        says="cost of the nodes",
    ),
    Estimate(
        key="framework_cores",
        unit="cores",
        formula="peak_rps * (cpu_us_per_request - fastapi_cpu_us) / 1e6",
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
    Bound(
        key="utilisation_ratio",
        at_most=0.6,
        says="the queue before each replica grows steeply beyond the planned utilisation",
    ),
    Bound(key="utilisation_zone_lost_ratio", at_most=0.85, says="with a zone lost at peak, requests are shed"),
    Bound(key="proxy_budget_ratio", at_most=0.25, says="one kind of failure would eat the budget of all others"),
)
