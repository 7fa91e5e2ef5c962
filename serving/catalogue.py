"""Every metric's name, once."""

from serving.cells import Metric

_BY_VARIANT = ("model", "version", "variant")

# Around the SLOs' bounds (10 to 100 ms): a quantile is only as exact as its bucket is narrow.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)
# A call takes from ten microseconds (one row of a small model) to seconds (thousands of rows of a large one).
_CALL_SECONDS = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, *_SECONDS[1:])
_ROWS = tuple(float(2**power) for power in range(13))

REQUESTS = Metric(
    name="drillyard_requests",
    kind="counter",
    labels=(*_BY_VARIANT, "code"),
    help="Requests that reached a model's replica, by the status they were answered with (499: the client had gone).",
)
LATENCY = Metric(
    name="drillyard_request_duration_seconds",
    kind="histogram",
    labels=_BY_VARIANT,
    buckets=_SECONDS,
    help="Time from a request's arrival in the replica to its answer.",
)
QUEUE_WAIT = Metric(
    name="drillyard_queue_wait_seconds",
    kind="histogram",
    labels=_BY_VARIANT,
    buckets=_SECONDS,
    help="Time a decoded request waited for its inference to begin.",
)
INFERENCE = Metric(
    name="drillyard_inference_duration_seconds",
    kind="histogram",
    labels=_BY_VARIANT,
    buckets=_CALL_SECONDS,
    help="Time of one call of the model.",
)
BATCH_ROWS = Metric(
    name="drillyard_batch_rows",
    kind="histogram",
    labels=_BY_VARIANT,
    buckets=_ROWS,
    help="Rows of one call of the model.",
)
IN_FLIGHT = Metric(
    name="drillyard_requests_in_flight",
    kind="gauge",
    labels=("model",),
    help="Requests that a replica has begun and not yet answered.",
)
SHED = Metric(
    name="drillyard_requests_shed",
    kind="counter",
    labels=("model", "reason"),
    help="Requests given up without an inference, by reason; each is also in drillyard_requests_total.",
)
COMPARISONS = Metric(
    name="drillyard_comparisons",
    kind="counter",
    labels=("model", "version", "outcome"),
    help="Answers of the challenger `version` held against the champion's, by outcome.",
)
LIFECYCLE = Metric(
    name="drillyard_lifecycle_events",
    kind="counter",
    labels=("model", "version", "event"),
    help="Changes of versions, by what happened: synced, canary, shadow, rolled back, refused.",
)
FRONT_REQUESTS = Metric(
    name="drillyard_front_requests",
    kind="counter",
    labels=("route", "code"),
    help="Requests to the routes of no single model; route `none`: no such path, or refused before it was looked at.",
)

PROXY_RESPONSES = Metric(
    name="drillyard_proxy_responses",
    kind="counter",
    labels=("frontend", "code"),
    help="What clients were answered by HAProxy, replicas' answers included, by class of status.",
)
PROXY_RETRIES = Metric(
    name="drillyard_proxy_retries",
    kind="counter",
    labels=("backend",),
    help="Requests that HAProxy sent once more, since a replica was gone or broke off.",
)
PROXY_UNSERVED = Metric(
    name="drillyard_proxy_unserved",
    kind="counter",
    labels=("backend",),
    help="Requests that HAProxy gave no replica: all were busy for too long, or none could be reached.",
)
PROXY_FAILED = Metric(
    name="drillyard_proxy_failed",
    kind="counter",
    labels=("backend",),
    help="Requests that HAProxy itself answered with a 5xx: refused, or given up after all retries.",
)
PROXY_QUEUED = Metric(
    name="drillyard_proxy_queued",
    kind="gauge",
    labels=("backend",),
    help="Requests that wait in HAProxy for a replica with room.",
)

SCORE = Metric(
    name="drillyard_score",
    kind="histogram",
    labels=("model", "version"),
    help="The model's own score, of sampled rows; bucket bounds are the deciles on the card.",
)
INPUT_DRIFT = Metric(
    name="drillyard_input_drift_psi",
    kind="gauge",
    labels=("model", "version", "feature"),
    help="Population stability index of an input feature's recent values against the training slice.",
)
SCORE_DRIFT = Metric(
    name="drillyard_score_drift_psi",
    kind="gauge",
    labels=("model", "version", "output"),
    help="Population stability index of the model's recent scores against the validation slice.",
)
DRIFT_ROWS = Metric(
    name="drillyard_drift_rows",
    kind="gauge",
    labels=("model", "version"),
    help="Sampled rows, weighed by age, that the stability indices rest on.",
)

# What the processes tell each other about drift; the indices are computed from it after merging, and it is not exposed.
_BIN = ("kind", "model", "version", "feature", "bin")
DRIFT_BIN = Metric(name="drillyard_drift_bin_rows", kind="gauge", labels=_BIN, help="Rows in a bin, weighed by age.")
DRIFT_EXPECTED = Metric(
    name="drillyard_drift_bin_share", kind="gauge", merge="livemax", labels=_BIN, help="The bin's share on the card."
)

COUNTED = (
    REQUESTS,
    LATENCY,
    QUEUE_WAIT,
    INFERENCE,
    BATCH_ROWS,
    IN_FLIGHT,
    SHED,
    COMPARISONS,
    FRONT_REQUESTS,
    SCORE,
    LIFECYCLE,
)
COMPUTED = (INPUT_DRIFT, SCORE_DRIFT, DRIFT_ROWS)  # from the counts of all processes, when they are asked for
FROM_PROXY = (PROXY_RESPONSES, PROXY_RETRIES, PROXY_UNSERVED, PROXY_FAILED, PROXY_QUEUED)
ALL = (*COUNTED, *COMPUTED, *FROM_PROXY)
