"""Every fault against a real server under open-loop load: lost requests, wrong answers, time to recover.

make bench-faults       (two replicas of the fraud champion; writes .drillyard/reports/bench-faults.json)
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from drillyard.core import entry, provenance
from drillyard.core.benchmark import keep, say
from drillyard.core.load import Load
from drillyard.core.settings import Settings
from drillyard.core.slo import DrillPlan, DrillResult, Slo, Strike
from loadtests.bench.server import samples, server
from loadtests.chaos import faults, leak
from loadtests.chaos.faults import Fault
from loadtests.chaos.marks import disturbed_s
from loadtests.chaos.target import Target
from loadtests.launch import run_drill
from loadtests.steady import kept_up

STRIKE_AT_S = 5.0
OF_REPLICAS = [fault.name for fault in faults.FAULTS.values() if fault.serve]  # a hot model needs a second one
SLO = Slo(p50_ms=10, p99_ms=50, max_error_rate=0.0)  # what the fraud design promises, and no lost request


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=500, help="requests a second, Poisson")
    parser.add_argument("--duration", type=float, default=25, help="seconds of load a fault")
    parser.add_argument("--port", type=int, default=8088)
    parser.add_argument("--faults", nargs="*", default=OF_REPLICAS, help=", ".join(OF_REPLICAS))
    options = parser.parse_args()
    chosen = [faults.get(name) for name in options.faults]
    settings = Settings.from_env(os.environ)
    origin = provenance.stamp()
    os.environ.update(leak.environment(os.environ))  # for the server
    rows = []
    with server("fraud", port=options.port, replicas=2):
        target = Target.of(settings, "fraud")
        folder = samples(settings, "fraud")
        for fault in chosen:
            duration_s = max(options.duration, STRIKE_AT_S + fault.lasts_s + 10)
            load = Load(rate_rps=options.rate, duration_s=duration_s)
            rows.append(measure(fault, target, DrillPlan(model="fraud", load=load, slo=SLO), folder))
            say(_line(rows[-1]))
    path = keep(settings, "bench-faults", {**origin, "rate_rps": options.rate, "faults": rows})
    sys.stdout.write(f"figures: {path}\n")


def measure(fault: Fault, target: Target, plan: DrillPlan, folder: Path) -> dict[str, Any]:
    """Drill, strike after some seconds, wait until the server is whole again; one row of the table."""
    plan = plan.model_copy(update={"strikes": (Strike(fault=fault.name, at_s=STRIKE_AT_S),)})
    out = target.settings.reports / f"fault-{fault.name}.json"
    result = kept_up(lambda: run_drill(plan, url=target.url, samples=folder, out=out, target=target), say)
    return row(result)


def row(result: DrillResult) -> dict[str, Any]:
    """What a drill with one fault cost; a row of the table."""
    fault = faults.get(result.plan.strikes[0].fault)
    return {
        "fault": fault.name,
        "purpose": fault.purpose,
        "may_fail": fault.may_fail,
        "requests": result.requests,
        "failed": result.errors,
        "error_counts": result.error_counts,
        "wrong_answers": result.error_counts.get("wrong answer", 0),
        "p99_ms": result.p99_ms,
        "max_ms": result.max_ms,
        "late_sends": result.late_sends,
        "disturbed_s": disturbed_s(result),
        **result.extra["faults"][fault.name],
    }


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['fault']:16} failed {row['failed']} of {row['requests']}, wrong {row['wrong_answers']}, "
        f"p99 {row['p99_ms']:.1f} ms, max {row['max_ms']:.0f} ms, disturbed {row['disturbed_s']} s, "
        f"recovered after {row['recovered_after_s']} s  {row['error_counts']}"
    )


if __name__ == "__main__":
    entry.run(main)
