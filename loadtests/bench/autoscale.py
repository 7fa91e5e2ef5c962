"""How fast replicas follow a tenfold step of the load, up and down again, and what that costs the requests.

make bench-autoscale    (the vision champion, 1 to 3 replicas; writes .drillyard/reports/bench-autoscale.json)

The step must be more than one replica does easily, and less than the machine can do: on two cores the slower model.
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
from drillyard.core.slo import DrillPlan, Slo
from loadtests.bench.server import samples, server
from loadtests.chaos.replica_watch import watching
from loadtests.chaos.target import Target
from loadtests.launch import run_drill
from loadtests.steady import wait_until_left_alone

MODEL = "vision"
SLO = Slo(p50_ms=25, p99_ms=100, max_error_rate=0.0)  # what the vision design promises, and no lost request
MOST, STEP = 3, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=80, help="requests a second before and after the step")
    parser.add_argument("--low", type=float, default=15, help="seconds before the step")
    parser.add_argument("--high", type=float, default=30, help="seconds of the step")
    parser.add_argument("--after", type=float, default=90, help="seconds after the step")
    parser.add_argument("--port", type=int, default=8088)
    options = parser.parse_args()
    settings = Settings.from_env(os.environ)
    origin = provenance.stamp()
    phases: list[dict[str, Any]] = []
    wait_until_left_alone(say)
    with server(MODEL, port=options.port, replicas=1, max_replicas=MOST):
        target = Target.of(settings, MODEL)
        folder = samples(settings, MODEL)
        for name, times, seconds in (
            ("before", 1, options.low),
            ("step", STEP, options.high),
            ("after", 1, options.after),
        ):
            load = Load(rate_rps=options.rate * times, duration_s=seconds)
            plan = DrillPlan(model=MODEL, load=load, slo=SLO)
            phases.append({"phase": name, "rate_rps": load.rate_rps, **_drilled(plan, target, folder, settings)})
            say(str(phases[-1]))
    path = keep(settings, "bench-autoscale", {**origin, "phases": phases})
    sys.stdout.write(f"figures: {path}\n")


def _drilled(plan: DrillPlan, target: Target, folder: Path, settings: Settings) -> dict[str, Any]:
    """One phase: what became of its requests, and when the number of replicas changed (seconds from its start)."""
    out = settings.reports / "autoscale-drill.json"
    with watching(target) as watch:
        result = run_drill(plan, url=target.url, samples=folder, out=out, on_progress=watch.follow)
    return {
        "requests": result.requests,
        "failed": result.errors,
        "error_counts": result.error_counts,
        "p99_ms": result.p99_ms,
        "late_sends": result.late_sends,
        "replicas": watch.changes,
    }


if __name__ == "__main__":
    entry.run(main)
