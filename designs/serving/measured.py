"""What was measured of the serving tier, and where its results lie."""

from designs.benchmarks import beyond_capacity, fault, faults, issue, serve_cell, serve_ratio, twin
from designs.evidence import Claim, Source

SERVERS: tuple[Source, ...] = (
    serve_cell("own_rps", "requests/s", "drillyard-2/one row/16/requests_per_s", "requests a second, two replicas"),
    serve_cell("own_p99_ms", "ms", "drillyard-2/one row/16/p99_ms", "p99 of them at saturation"),
    serve_cell(
        "cpu_us_per_request",
        "us",
        "drillyard-2/one row/1/cpu_us_per_request",
        "CPU time of a request, proxy included, with one connection",
    ),
    serve_cell(
        "cpu_us_at_16",
        "us",
        "drillyard-2/one row/16/cpu_us_per_request",
        "the same at sixteen connections",
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
    *faults(),
    issue("storm_sends_ratio", "", "retry-storm/0/broken", "sends for each request of clients without restraint"),
    issue("budget_sends_ratio", "", "retry-storm/0/fixed", "the same with pauses and a budget of retries"),
    fault("controller_failed_count", "requests", "kill-controller/failed", "failed when the controller was killed"),
    fault("controller_max_ms", "ms", "kill-controller/max_ms", "longest answer when the controller was killed"),
    *beyond_capacity(),
)

CLAIMS: tuple[Source, ...] = (
    Claim(key="rows_json_bytes", unit="B", says="body of a request of sixty-four rows, as JSON"),
    Claim(key="rows_binary_bytes", unit="B", says="the same rows as raw bytes behind a JSON header"),
    Claim(
        key="decode_speedup",
        unit="",
        says="CPU time of reading sixty-four rows from JSON over reading them raw",
        tolerance=2.0,
    ),
    Claim(key="queue_timeout_ms", unit="ms", says="longest wait in the proxy before a request is refused"),
    Claim(key="answer_timeout_s", unit="s", says="after which a request is given to another replica"),
    Claim(key="offload_ms", unit="ms", says="expected time of a call above which it leaves the event loop"),
)
