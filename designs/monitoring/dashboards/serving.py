"""The server: what clients get, what the replicas do, which versions answer, whether inputs are what was trained on."""

from designs.monitoring import burn_rules
from designs.monitoring.dashboards.parts import QUANTILES, RATE, percent, quantile, query, rate
from designs.monitoring.grafana import Dashboard, Panel, Row, Variable
from serving import catalogue as server

_MODEL = 'model=~"$model"'
_REQUESTS, _LATENCY = server.REQUESTS.exposed_name, server.LATENCY.name


def serving() -> Dashboard:
    """One server, from its own counts."""
    return Dashboard(
        uid="drillyard-serving",
        title="drillyard: serving",
        says="One server, from its own counts.",
        variables=(Variable(metric=_REQUESTS, label="model"),),
        rows=(_answers(), _replicas(), _versions()),
    )


def _answers() -> Row:
    promised = f"{burn_rules.PROMISED}{{{_MODEL}}}"
    quantiles = [query(quantile(q, _LATENCY, _MODEL, "model"), f"{{{{model}}}} {percent(q)}") for q in QUANTILES]
    client_failures = f'sum(rate({server.PROXY_RESPONSES.exposed_name}{{code="5xx"}}{RATE}))'
    client_requests = f"sum(rate({server.PROXY_RESPONSES.exposed_name}{RATE}))"
    return Row(
        title="Answers",
        panels=(
            Panel(
                title="Requests by status",
                says="As replicas answered them, over every protocol. 499: the client had gone.",
                queries=(query(rate(_REQUESTS, _MODEL, "model, code"), "{{model}} {{code}}"),),
                unit="reqps",
            ),
            Panel(
                title="Time in the replica",
                says="From arrival to answer; the wait in HAProxy and the way are not in it. Lines beside: what is "
                "promised to clients.",
                queries=(*quantiles, query(promised, "{{design}} promises p{{quantile}}")),
                unit="s",
            ),
            Panel(
                title="Failed, as clients see it",
                says="Share of all answers that HAProxy gave with a 5xx, its own refusals among them.",
                queries=(query(f"{client_failures} / {client_requests}", "5xx"),),
                unit="percentunit",
            ),
        ),
    )


def _replicas() -> Row:
    rows = f"sum by (model) (rate({server.BATCH_ROWS.name}_sum{{{_MODEL}}}{RATE}))"
    calls = f"sum by (model) (rate({server.BATCH_ROWS.name}_count{{{_MODEL}}}{RATE}))"
    by_backend = [
        query(rate(metric.exposed_name, "", "backend"), f"{{{{backend}}}} {word}")
        for metric, word in (
            (server.PROXY_UNSERVED, "refused"),
            (server.PROXY_FAILED, "failed"),
            (server.PROXY_RETRIES, "sent again"),
        )
    ]
    return Row(
        title="Replicas and queues",
        panels=(
            Panel(
                title="Under way",
                says="Requests that replicas have begun and not answered, and those that wait in HAProxy.",
                queries=(
                    query(f"sum by (model) ({server.IN_FLIGHT.name}{{{_MODEL}}})", "{{model}}"),
                    query(f"sum by (backend) ({server.PROXY_QUEUED.name})", "{{backend}} waiting"),
                ),
            ),
            Panel(
                title="Where the time goes (p99)",
                says="Wait for the inference to begin, and one call of the model.",
                queries=tuple(
                    query(quantile("0.99", metric.name, _MODEL, "model"), f"{{{{model}}}} {word}")
                    for metric, word in ((server.QUEUE_WAIT, "wait"), (server.INFERENCE, "call"))
                ),
                unit="s",
            ),
            Panel(
                title="Rows a call",
                says="How far batches fill.",
                queries=(query(f"{rows} / {calls}", "{{model}}"),),
            ),
            Panel(
                title="Given up without an inference",
                says="By replicas: nobody waited any more, or the deadline was over.",
                queries=(query(rate(server.SHED.exposed_name, _MODEL, "model, reason"), "{{model}} {{reason}}"),),
                unit="reqps",
            ),
            Panel(
                title="HAProxy in a replica's place",
                says="Refused for want of room, failed after all retries, and sent once more.",
                queries=tuple(by_backend),
                unit="reqps",
            ),
            Panel(
                title="Other routes",
                says="Requests to no single model: documentation, metrics, paths that do not exist.",
                queries=(query(rate(server.FRONT_REQUESTS.exposed_name, "", "route, code"), "{{route}} {{code}}"),),
                unit="reqps",
            ),
        ),
    )


def _versions() -> Row:
    inputs = f"topk(5, max by (model, version, feature) ({server.INPUT_DRIFT.name}{{{_MODEL}}}))"
    events = f"sum by (model, version, event) (increase({server.LIFECYCLE.exposed_name}{{{_MODEL}}}{RATE}))"
    return Row(
        title="Versions and drift",
        panels=(
            Panel(
                title="Requests by version",
                says="Who answered: champion or challenger.",
                queries=(
                    query(rate(_REQUESTS, _MODEL, "model, version, variant"), "{{model}}/{{version}} {{variant}}"),
                ),
                unit="reqps",
            ),
            Panel(
                title="Challenger against champion",
                says="Answers to the same request, compared; `dropped`: there was no time for it.",
                queries=(
                    query(
                        rate(server.COMPARISONS.exposed_name, _MODEL, "model, version, outcome"),
                        "{{model}}/{{version}} {{outcome}}",
                    ),
                ),
                unit="reqps",
            ),
            Panel(
                title="Changes of versions",
                says="Moves of champions, trials begun, and trials ended.",
                queries=(query(events, "{{model}}/{{version}} {{event}}"),),
            ),
            Panel(
                title="Drift of inputs",
                says="The five features furthest from the training slice (population stability index).",
                queries=(query(inputs, "{{model}}/{{version}} {{feature}}"),),
            ),
            Panel(
                title="Drift of scores",
                says="The model's own scores against the validation slice. Inputs may drift without it.",
                queries=(
                    query(f"max by (model, version) ({server.SCORE_DRIFT.name}{{{_MODEL}}})", "{{model}}/{{version}}"),
                ),
            ),
            Panel(
                title="Rows that drift rests on",
                says="Sampled rows, weighed by age. The indices appear once there are enough.",
                queries=(query(f"{server.DRIFT_ROWS.name}{{{_MODEL}}}", "{{model}}/{{version}}"),),
            ),
            Panel(
                title="Scores",
                says="Quantiles of the model's own score, of sampled rows, by the deciles on its card.",
                queries=tuple(
                    query(quantile(q, server.SCORE.name, _MODEL, "model, version"), f"{{{{model}}}} {percent(q)}")
                    for q in QUANTILES
                ),
                least=None,
            ),
        ),
    )
