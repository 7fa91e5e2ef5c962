"""What is left of the goodput when twice as much is asked as can be served.

make bench-overload     (one replica of the vision champion; writes .drillyard/reports/bench-overload.json)

Capacity is the goodput at the first rate of a rising series that is not served in full. Then drills at capacity and at
twice that alternate.
"""

import argparse
import os
import sys
from typing import Any

from drillyard.core import entry, provenance
from drillyard.core.benchmark import keep, say, spread
from drillyard.core.load import Load
from drillyard.core.settings import Settings
from drillyard.core.slo import DrillPlan, DrillResult, Slo
from loadtests.bench.server import samples, server
from loadtests.launch import run_drill
from loadtests.steady import kept_up

SLO = Slo(p50_ms=25, p99_ms=100, max_error_rate=0.001)  # what the vision design promises
SERVED_SHARE = 0.95
STEP, STEP_S = 1.3, 6.0
BARS = {"goodput_ratio": 0.9, "refusal_p99_ms": 50.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from-rate", type=float, default=200, help="requests a second the search begins with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duration", type=float, default=15, help="seconds a drill")
    parser.add_argument("--port", type=int, default=8088)
    options = parser.parse_args()
    settings = Settings.from_env(os.environ)
    origin = provenance.stamp()

    def drilled(rate_rps: float, duration_s: float) -> DrillResult:
        plan = DrillPlan(model="vision", load=Load(rate_rps=rate_rps, duration_s=duration_s), slo=SLO)
        url = f"http://127.0.0.1:{options.port}"
        out = settings.reports / "overload-drill.json"
        folder = samples(settings, "vision")
        result = kept_up(lambda: run_drill(plan, url=url, samples=folder, out=out), say)
        say(f"{rate_rps:6.0f} requests/s asked, {result.goodput_rps:6.0f} good, {result.error_counts}")
        return result

    with server("vision", port=options.port, replicas=1):
        capacity = _capacity(options.from_rate, drilled)
        rounds = [
            {
                name: _figures(drilled(capacity * times, options.duration))
                for name, times in (("at", 1.0), ("twice", 2.0))
            }
            for _ in range(options.rounds)
        ]
    bars = _bars(rounds)
    content = {**origin, "capacity_rps": capacity, "slo_p99_ms": SLO.p99_ms, "rounds": rounds, "bars": bars}
    path = keep(settings, "bench-overload", content)
    for name, bar in bars.items():
        sys.stdout.write(f"{name}: {bar['median']:.2f} ({bar['low']:.2f} to {bar['high']:.2f}), bar {bar['bar']}\n")
    sys.stdout.write(f"figures: {path}\n")


def _capacity(rate_rps: float, drilled: Any) -> float:
    while True:
        result = drilled(rate_rps, STEP_S)
        if result.goodput_rps < SERVED_SHARE * result.offered_rps:
            return float(result.goodput_rps)
        rate_rps *= STEP


def _figures(result: DrillResult) -> dict[str, Any]:
    return {
        "offered_rps": result.offered_rps,
        "goodput_rps": result.goodput_rps,
        "error_counts": result.error_counts,
        "p50_ms": result.p50_ms,
        "p99_ms": result.p99_ms,
        "refusal_ms": result.extra["refusal_ms"],
        "late_sends": result.late_sends,
        "requests": result.requests,
    }


def _bars(rounds: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    found = {
        "goodput_ratio": [each["twice"]["goodput_rps"] / each["at"]["goodput_rps"] for each in rounds],
        "refusal_p99_ms": [each["twice"]["refusal_ms"]["p99"] for each in rounds],
    }
    return {name: {**spread(values), "bar": BARS[name]} for name, values in found.items()}


if __name__ == "__main__":
    entry.run(main)
