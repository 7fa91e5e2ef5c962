"""What an interviewer asks of the serving tier, and what a proposed configuration is put through."""

from designs.records import Drilled, Question, RubricFigure

RUBRIC = (
    RubricFigure(
        key="peak_cores",
        asks="Each request takes {cpu_us_per_request|.0f} us of CPU. How many cores are busy at the peak?",
        within_factor=1.5,
        hint="Rate times time.",
    ),
    RubricFigure(
        key="nodes_count",
        asks="How many nodes do you order, with one zone lost at the peak?",
        within_factor=2.0,
        hint="Utilisation first, then the lost zone, then whole nodes in each zone.",
    ),
    RubricFigure(
        key="budget_s_month",
        asks="How many seconds of a whole outage does the promise allow in a month?",
        within_factor=1.2,
        hint="A month has about two and a half million seconds.",
    ),
    RubricFigure(
        key="proxy_lost_requests",
        asks="A node's proxy dies at the peak. How many requests are lost if nobody looks at health?",
        within_factor=3.0,
        hint="The node's share of the rate, for as long as the proxy is away.",
    ),
    RubricFigure(
        key="bytes_ratio",
        asks="How many times larger are rows of floats as JSON than raw?",
        within_factor=1.5,
        hint="Four bytes, against digits, a sign, a point and a comma.",
    ),
)

QUESTIONS = (
    Question(
        topic="Trade-off",
        asks="Your tier has {over_fastapi|.2f} of the throughput of a FastAPI service. Why should anybody use it?",
        answer=(
            "Not for throughput: the proxy is a second hop, and requests that wait are counted by the framework, which "
            "costs more than a small model. In return a killed "
            "replica cost {kill_failed_count} of {faults_requests_count} requests, a change of version "
            "{version_failed_count}, and a dead controller {controller_failed_count}. The difference is "
            "{framework_cores|.1f} cores at the assumed peak. If your service never changes and a few lost requests "
            "a crash do not matter, write the FastAPI service."
        ),
        probes=("What would you measure to decide it for your company?",),
    ),
    Question(
        topic="Latency",
        asks="A replica froze for five seconds, and p99 looked fine. Is that so?",
        answer=(
            "{freeze_failed_count} requests failed and the longest answer took {freeze_max_ms} ms. At {load_rps} "
            "requests a second over half a minute the few requests that the frozen replica held are fewer than a "
            "hundredth, so p99 cannot see them. Look at the maximum and at a higher percentile, and count how many "
            "were beyond the promise. A closed loop would have hidden even that: its users stop asking while they "
            "wait. Here latency counts from the time at which a request was meant to be sent."
        ),
        probes=("How many requests do you need to claim a p99 at all?",),
    ),
    Question(
        topic="Overload",
        asks="Traffic doubles for a minute. Queue, shed or scale?",
        answer=(
            "Shed first, since it works now; scale, since it lasts; queue only as long as an answer is still of use, "
            "here {queue_timeout_ms|.0f} ms. Goodput at twice the capacity stayed at {overload_goodput_ratio|.2f} "
            "and refusals took {refusal_p99_ms|.0f} ms at p99. An autoscaler needs to see the load, wait and start a "
            "process; a queue without a bound would have made every answer late by then."
        ),
        probes=("Which requests would you shed first?", "How does a client know when to come back?"),
    ),
    Question(
        topic="Availability",
        asks="What is the single point of failure, and is it worth removing?",
        answer=(
            "The proxy of a node. Another stands in after {proxy_whole_s|.2f} s, and {fault_error_ratio*100|.2f}% of "
            "that drill's requests failed. With several nodes and no health checks in front, dying proxies take "
            "{proxy_budget_ratio*100|.4f}% of the error budget at the assumed rate of deaths: hardly any. An address "
            "that follows health checks is worth it anyway, since it covers the whole node as well."
        ),
        probes=("Why does the number of nodes cancel out?",),
    ),
    Question(
        topic="Batching",
        asks="Your batches never fill. Where do you look?",
        answer=(
            "At the limit on requests under way: when it is below the batch size, a batch of small requests cannot "
            "exist. This tier refuses such a configuration when it is made. Then at the load: a replica that is not "
            "busy has nothing to gather, and that is good. `drillyard_batch_rows` and `drillyard_queue_wait_seconds` "
            "together tell the two apart."
        ),
        probes=("When is waiting for a batch right?",),
    ),
    Question(
        topic="Many models",
        asks="A thousand models, most of them asked once an hour. What does this design do?",
        answer=(
            "Nothing good. Each model is a deployment with a process in each zone, {least_replicas_count} for the "
            "{models_count} models assumed here, and a process holds its memory and its place whether it is asked or "
            "not. A thousand models want another design: many models in one process, loaded when they are asked for "
            "and dropped when memory runs out, with the hot ones kept as they are here. What is lost is isolation: "
            "one model's crash or leak takes its neighbours along."
        ),
        probes=("Which models go together into a process?", "What does the first request after an hour pay?"),
    ),
    Question(
        topic="Protocol",
        asks="Would you make everything gRPC?",
        answer=(
            "No. What costs is text and the number of requests. Raw bytes behind a JSON header are {bytes_ratio|.1f} "
            "times smaller than JSON numbers and work with any HTTP client; sixty-four rows a request bring "
            "{binary_over_json|.0f} times the rows a second. gRPC adds generated clients and deadlines, and takes "
            "away curl and simple load balancers."
        ),
        probes=("How does a proxy that speaks HTTP route gRPC calls by model?",),
    ),
    Question(
        topic="Measurement",
        asks="You compare servers on a machine whose speed changes by a factor within minutes. How?",
        answer=(
            "Never by two timings of two moments. One server at a time, rounds that alternate and reverse their "
            "order, a ratio within each round, the median with the lowest and highest beside it. The ratio to "
            "FastAPI went from {over_fastapi.low|.2f} to {over_fastapi.high|.2f} in two rounds, so more rounds are "
            "owed before anybody quotes the second digit. And right before fast: answers are checked before and "
            "after."
        ),
        probes=("How many rounds are enough?",),
    ),
    Question(
        topic="Rollout",
        asks="How do you know within seconds that a new version is bad, without false alarms?",
        answer=(
            "By a sequential test, which may be looked at every second: it weighs what is tolerated against twice "
            "that. Failures come in bursts, so one second may count for a part of an alarm only, and what the "
            "champion does at the same time is forgiven. It ends trials that fail, are slow or disagree. It does not "
            "see answers that are wrong in the same way as before."
        ),
        probes=("Why is peeking at an ordinary test wrong?",),
    ),
)

DRILLS = (
    Drilled(drill="steady", finds_out="what a request costs when nothing happens"),
    Drilled(drill="server", finds_out="the highest rate that is proven within the promise"),
    Drilled(drill="break", finds_out="at which load, and how, it breaks"),
    Drilled(drill="omission", finds_out="what a closed loop would have hidden of a freeze"),
    Drilled(drill="retry-storm", finds_out="whether clients without restraint can keep it down"),
    Drilled(drill="retry-budget", finds_out="what a budget of retries changes about that"),
    Drilled(drill="cold-start", finds_out="how long nobody is answered when every replica dies"),
    Drilled(drill="hot-model", finds_out="whether one busy model takes the cores of the others"),
    Drilled(drill="kill-replica", finds_out="whether requests outlive the process that has them"),
    Drilled(drill="freeze-replica", finds_out="how silence is told from work"),
    Drilled(drill="sick-replica", finds_out="whether a replica that stays frozen is replaced"),
    Drilled(drill="kill-controller", finds_out="whether the control plane is on a request's way"),
    Drilled(drill="kill-haproxy", finds_out="what the single proxy of a node costs"),
    Drilled(drill="new-version", finds_out="whether versions change without a gap"),
    Drilled(drill="registry-gone", finds_out="whether the registry is on a request's way"),
)
