"""What the serving tier decided, and how it fails."""

from designs.records import Decision, DrillCheck, FailureMode, FigureCheck, Option, TestCheck

DECISIONS = (
    Decision(
        key="framework",
        title="Ray Serve behind HAProxy, though a hand-written service is faster",
        context=(
            "A small model answers in microseconds. What a request costs is everything around it, so the framework "
            "is the design."
        ),
        options=(
            Option(
                name="Ray Serve, replicas reached by HAProxy directly",
                says=(
                    "{own_rps} requests a second on two shared cores, {cpu_us_at_16|.0f} us each. Replicas "
                    "come, go, crash and change version without a failed request."
                ),
            ),
            Option(
                name="FastAPI under uvicorn, written by hand",
                says=(
                    "{fastapi_cpu_us|.0f} us. This tier has {over_fastapi|.2f} of its requests a second; "
                    "{asked_fastapi_ratio} was asked for. Its workers share a port, and a worker that dies takes its "
                    "requests along."
                ),
            ),
            Option(
                name="Ray Serve as its quick start has it",
                says=(
                    "{default_cpu_us} us: a Python proxy and a Python framework on the way. This tier is "
                    "{over_default|.0f} times as fast."
                ),
            ),
            Option(
                name="MLServer, LitServe, BentoML",
                says=(
                    "this tier does {over_mlserver|.2f}, {over_litserve|.2f} and {over_bentoml|.2f} times their "
                    "requests a second; {asked_mlserver_ratio} over MLServer was asked for."
                ),
            ),
        ),
        decision=(
            "Ray Serve behind HAProxy. The price is {framework_cores|.1f} cores at the peak, "
            "{framework_eur_month|.0f} EUR a month. It buys crash recovery, versions under load and autoscaling, "
            "which would have to be written and proven for the other. A team with one model and no changes should "
            "write the FastAPI service."
        ),
        confirmed_by=DrillCheck(name="kill-replica"),
    ),
    Decision(
        key="queue",
        title="The queue is in the proxy, short and bounded",
        context=(
            "Somewhere requests wait. Where they wait decides what refusing one costs, and how late the others are."
        ),
        options=(
            Option(
                name="In HAProxy, at most {queue_timeout_ms|.0f} ms",
                says="refusing costs no Python. Who is let in is answered in time.",
            ),
            Option(name="In the replica", says="refusing costs a parse, on the core that should compute."),
            Option(
                name="Without a bound",
                says="every answer late when more is asked than can be done, for as long as it lasts.",
            ),
        ),
        decision=(
            "In HAProxy. At twice the capacity goodput is {overload_goodput_ratio|.2f} of that at capacity, and a "
            "refusal takes {refusal_p99_ms|.0f} ms at p99."
        ),
        confirmed_by=TestCheck(
            name="tests/serving/test_overload_integration.py::test_what_cannot_be_served_is_refused_at_once_and_the_rest_is_right"
        ),
    ),
    Decision(
        key="event-loop",
        title="Quick models answer on the event loop",
        context=(
            "A call of the model blocks whatever runs it. Handing it to a thread costs a switch there and one back."
        ),
        options=(
            Option(
                name="On the loop when a call is expected below {offload_ms} ms, else in a thread",
                says=(
                    "measured at start. Quick calls cost less than the handing over; slow ones gather a batch "
                    "meanwhile."
                ),
            ),
            Option(
                name="Always in a thread", says="one rule, and a small model pays more for the rule than for itself."
            ),
            Option(name="Always on the loop", says="one slow call stops health checks, and the replica looks dead."),
        ),
        decision=(
            "By expected time. Batches are what gathered while the last call ran, so a lone request waits for nobody."
        ),
        confirmed_by=TestCheck(
            name="tests/serving/test_overload_integration.py::test_batches_fill_as_the_model_sees_them"
        ),
    ),
    Decision(
        key="retry",
        title="A lost request is asked again, an answer never",
        context="Retries turn a crash into a pause, and an overload into a collapse.",
        options=(
            Option(
                name="Only what got no answer, to another replica",
                says=(
                    "safe, since inference changes nothing. {kill_failed_count} of {faults_requests_count} failed "
                    "when a replica was killed."
                ),
            ),
            Option(name="Every failure", says="a busy server that is asked twice is busier."),
            Option(name="Nothing", says="each crash costs the requests of that process."),
        ),
        decision=(
            "Only what got no answer: connection lost, or none within {answer_timeout_s|.0f} s. That limit is what a "
            "frozen replica costs: {freeze_max_ms} ms was the longest."
        ),
        confirmed_by=DrillCheck(name="freeze-replica"),
    ),
    Decision(
        key="versions",
        title="Versions change inside the replicas, not by replacing them",
        context=(
            "Serve can reconfigure a deployment, but takes a replica out of the proxy's list meanwhile: a model with "
            "one replica would answer nobody."
        ),
        options=(
            Option(
                name="Load beside, prove, then turn over in one assignment",
                says="{version_failed_count} failed, {version_max_ms|.0f} ms the longest. Memory for two versions.",
            ),
            Option(name="Serve's own reconfiguration", says="less code, and a gap for each replica."),
            Option(
                name="New replicas, then end the old ones",
                says="twice the replicas for a while, and a cold start for each.",
            ),
        ),
        decision="Load beside. If one replica refuses the version, all keep the old one, and the reason is told.",
        confirmed_by=TestCheck(
            name="tests/serving/test_variants_integration.py::test_sync_moves_every_replica_without_a_failed_request_or_a_new_process"
        ),
    ),
    Decision(
        key="wire",
        title="JSON for one row, raw bytes for many",
        context="Numbers as text are large and slow to read, and every client can write them.",
        options=(
            Option(
                name="The protocol's binary extension beside JSON",
                says=(
                    "{rows_binary_bytes} instead of {rows_json_bytes} bytes for sixty-four rows, read in a fraction "
                    "of the CPU time ({decode_speedup|.0f} times less)."
                ),
            ),
            Option(name="JSON only", says="one form to test."),
            Option(name="gRPC only", says="compact too; no browser, no curl, no JSON to look at in a log."),
        ),
        decision=(
            "Both, and gRPC. With sixty-four rows a request a server does {binary_over_json|.0f} times as many rows "
            "a second; most of that is having fewer requests."
        ),
        confirmed_by=FigureCheck(key="rows_binary_bytes", at_most="rows_json_bytes"),
    ),
)

FAILURES = (
    FailureMode(
        name="A replica dies",
        effect="Its requests are cut off.",
        seen_by=("drillyard_proxy_retries_total",),
        limited_by="HAProxy asks another; Serve starts a new one.",
        drill="kill-replica",
        result=(
            "{kill_failed_count} of {faults_requests_count} failed; longest answer {kill_max_ms} ms; replaced after "
            "{kill_whole_s} s."
        ),
    ),
    FailureMode(
        name="A replica freezes",
        effect="It keeps its connections open and answers nothing.",
        seen_by=("drillyard_proxy_retries_total",),
        limited_by="Health checks; a limit on the time without an answer.",
        drill="freeze-replica",
        result="{freeze_failed_count} failed; longest answer {freeze_max_ms} ms.",
    ),
    FailureMode(
        name="The controller dies",
        effect="Nobody replaces or adds replicas for a moment.",
        seen_by=("drillyard_proxy_responses_total",),
        limited_by="It is not on a request's way; Serve starts another, which finds the replicas.",
        drill="kill-controller",
        result="{controller_failed_count} failed; longest answer {controller_max_ms|.0f} ms.",
    ),
    FailureMode(
        name="The proxy of a node dies",
        effect="Every connection of the node breaks, new ones are refused.",
        seen_by=("drillyard_proxy_responses_total",),
        limited_by="The supervisor lets another stand in; several nodes behind an address that follows health checks.",
        drill="kill-haproxy",
        result=(
            "{proxy_failed_count} of {faults_requests_count} failed, {fault_error_ratio*100|.2f}%: what was on its "
            "connections, or came before another stood in, {proxy_whole_s|.2f} s later."
        ),
    ),
    FailureMode(
        name="The registry is gone",
        effect="No new version; nothing else.",
        seen_by=("drillyard_lifecycle_events_total",),
        limited_by="Replicas keep verified copies of what they serve.",
        drill="registry-gone",
        result="{registry_failed_count} of {registry_requests_count} failed in a minute without it.",
    ),
    FailureMode(
        name="A bad version is promoted",
        effect="Wrong answers, quickly and without an error.",
        seen_by=("drillyard_comparisons_total", "drillyard_lifecycle_events_total"),
        limited_by=(
            "A version must answer its own samples as it did when it was exported; canary and shadow end on evidence."
        ),
        drill="worse-version",
        result=(
            "Held by "
            "`tests/serving/test_variants_integration.py::test_a_canary_that_fails_is_rolled_back_with_its_reason`."
        ),
    ),
    FailureMode(
        name="Everybody asks twice",
        effect="Clients repeat what was refused, at once and all together; a short overload becomes a long one.",
        seen_by=("drillyard_proxy_unserved_total",),
        limited_by="`Retry-After`, early refusals that cost no Python; a budget for retries in the client.",
        drill="retry-storm",
        result=(
            "Clients without restraint sent {storm_sends_ratio|.1f} times what they were asked for; with pauses and a "
            "budget {budget_sends_ratio|.2f} times."
        ),
    ),
)
