"""Closed loops and the four scenarios of MLPerf LoadGen as drills (MLPerf Inference Rules, "Scenarios").

What is other than in MLPerf: answers are checked one by one in every run, samples are the model's own published ones,
and the shortest valid run is `DrillPlan.min_duration_s` instead of ten minutes (`--duration 600` asks for those).
"""

from drillyard.core.load import ClosedLoad
from drillyard.core.slo import DrillPlan, Slo
from loadtests.catalogue.entry import Drill, at_least, at_most, base, expecting, promise
from loadtests.catalogue.search import at_rate, highest_valid

USERS = 8
MULTI_STREAM_ROWS = 8  # as in MLPerf
OFFLINE_USERS, OFFLINE_ROWS = 4, 32  # requests at once, so that the server never waits for one; rows of each
NO_BOUND_MS = 10_000.0  # the generator gives up then; the offline scenario promises no latency


def _closed(plan: DrillPlan, *, users: int, rows: int = 1) -> DrillPlan:
    load = ClosedLoad(users=users, rows=rows, duration_s=plan.load.duration_s)
    return plan.model_copy(update={"load": load})


def _users(plan: DrillPlan) -> DrillPlan:
    text = f"{USERS} users who each wait for their answer get through more than the design's rate."
    return expecting(_closed(plan, users=USERS), text, at_least("offered_rps", base(plan).rate_rps))


def _single_stream(plan: DrillPlan) -> DrillPlan:
    text = "A request that meets no other is answered within the promised median, nine times out of ten."
    made = _closed(plan, users=1).model_copy(update={"percentile": 90})
    return expecting(made, text, at_most("extra.proven_ms", plan.slo.p50_ms))


def _multi_stream(plan: DrillPlan) -> DrillPlan:
    text = f"{MULTI_STREAM_ROWS} rows in one request are answered within the promise for one."
    made = _closed(plan, users=1, rows=MULTI_STREAM_ROWS)
    return expecting(made, text, at_most("extra.proven_ms", plan.slo.p99_ms))


def _server(plan: DrillPlan) -> DrillPlan:
    text = "There is headroom: at least twice the design's load is served within the promise."
    made = at_rate(plan, base(plan).rate_rps)
    return expecting(made, text, at_least("extra.search.highest_rps", 2 * base(plan).rate_rps))


def _offline(plan: DrillPlan) -> DrillPlan:
    text = f"Batches pay: {OFFLINE_ROWS} rows a request bring at least four times the design's rate in rows."
    slo = Slo(p50_ms=NO_BOUND_MS, p99_ms=NO_BOUND_MS, max_error_rate=plan.slo.max_error_rate)
    made = _closed(plan, users=OFFLINE_USERS, rows=OFFLINE_ROWS).model_copy(update={"slo": slo})
    return expecting(made, text, at_least("extra.rows_per_s", 4 * base(plan).rate_rps), *promise(made)[1:])


SCENARIOS = (
    Drill(
        name="closed",
        teaches="A closed loop slows down with the system, so it can neither overload it nor show what callers wait.",
        duration_s=15,
        plan=_users,
    ),
    Drill(
        name="single-stream",
        teaches="Service time: one request at a time, the 90th percentile (MLPerf SingleStream).",
        duration_s=15,
        plan=_single_stream,
    ),
    Drill(
        name="multi-stream",
        teaches="What several rows in one request cost: the 99th percentile (MLPerf MultiStream).",
        duration_s=20,
        plan=_multi_stream,
    ),
    Drill(
        name="server",
        teaches="Capacity is a rate at a promised percentile: the highest that is proven, by search (MLPerf Server).",
        duration_s=10,
        plan=_server,
        run=highest_valid,
    ),
    Drill(
        name="offline",
        teaches="Throughput when nobody waits: the most rows a second, whatever the latency (MLPerf Offline).",
        duration_s=15,
        plan=_offline,
    ),
)
