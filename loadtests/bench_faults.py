"""Every fault against a real server under open-loop load: lost requests, wrong answers, time to recover.

make bench-faults       (two replicas of the fraud champion; writes .drillyard/reports/bench-faults.json)
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from drillyard.core import provenance
from drillyard.core.errors import UsageError
from drillyard.core.load import Load
from drillyard.core.settings import Settings
from drillyard.core.slo import DrillPlan, DrillResult, Slo
from loadtests import faults
from loadtests.bench_server import samples, server
from loadtests.faults import Fault, Target
from loadtests.launch import run_drill
from loadtests.progress import Progress

STRIKE_AT_S = 5.0
SLO = Slo(p50_ms=10, p99_ms=50, max_error_rate=0.0)  # what the fraud design promises, and no lost request
HEAL_TIMEOUT_S = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=500, help="requests a second, Poisson")
    parser.add_argument("--duration", type=float, default=25, help="seconds of load a fault")
    parser.add_argument("--port", type=int, default=8088)
    parser.add_argument("--faults", nargs="*", default=list(faults.FAULTS), help=", ".join(faults.FAULTS))
    options = parser.parse_args()
    chosen = [faults.get(name) for name in options.faults]
    settings = Settings.from_env(os.environ)
    origin = provenance.stamp()
    rows = []
    with server("fraud", port=options.port, replicas=2):
        target = Target.of(settings, "fraud")
        folder = samples(settings, "fraud")
        for fault in chosen:
            if fault.name == "new-version":
                _register_again(settings)  # it becomes champion; the server stays with what it has until it is told
            duration_s = max(options.duration, STRIKE_AT_S + fault.lasts_s + 10)
            load = Load(rate_rps=options.rate, duration_s=duration_s)
            rows.append(measure(fault, target, DrillPlan(model="fraud", load=load, slo=SLO), folder, settings))
            sys.stderr.write(_line(rows[-1]) + "\n")
    path = settings.reports / "bench-faults.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**origin, "rate_rps": options.rate, "faults": rows}, indent=2) + "\n")
    sys.stdout.write(f"figures: {path}\n")


def measure(fault: Fault, target: Target, plan: DrillPlan, folder: Path, settings: Settings) -> dict[str, Any]:
    """Drill, strike after some seconds, wait until the server is whole again; one row of the table."""
    before = fault.heals(target)
    struck = _Strike(fault, target, before)

    def on_progress(progress: Progress) -> None:
        if progress.phase == "drill" and progress.t_s >= STRIKE_AT_S:
            struck.begin()

    out = settings.reports / f"fault-{fault.name}.json"
    result = run_drill(plan, url=target.url, samples=folder, out=out, on_progress=on_progress)
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
        "whole_again_s": struck.wait_until_whole(),
    }


def _register_again(settings: Settings) -> None:
    """The newest fraud run as one more version: the same graph, so that its right answers are known.

    Raises UsageError when this home has no run of it, CalledProcessError when it cannot be registered.
    """
    runs = sorted(settings.runs.glob("fraud-*/model/card.json"))
    if not runs:
        raise UsageError("DRILLYARD_HOME", str(settings.home), "a home with a fraud run: drillyard train fraud")
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(shutil.copytree(runs[-1].parents[1], Path(scratch) / "run"))
        card = copy / "model" / "card.json"
        card.write_text(json.dumps(json.loads(card.read_text()) | {"version": 0}))
        faults.drillyard("models", "relog", str(copy)).check_returncode()


class _Strike:
    """One blow, in a thread of its own, and the time until as many processes as before stand again."""

    def __init__(self, fault: Fault, target: Target, before: list[int]) -> None:
        self._fault, self._target, self._before = fault, target, before
        self._whole_s: float | None = None
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._strike, self._watch)]
        self._begun = 0.0

    def begin(self) -> None:
        if not self._begun:
            self._begun = time.monotonic()
            for thread in self._threads:
                thread.start()

    def wait_until_whole(self) -> float | None:
        """Seconds from the blow until the server was whole; None when it was not within the time allowed."""
        for thread in self._threads:
            thread.join(HEAL_TIMEOUT_S)
        return self._whole_s

    def _strike(self) -> None:
        self._fault.strike(self._target)

    def _watch(self) -> None:
        while time.monotonic() - self._begun < HEAL_TIMEOUT_S:
            time.sleep(0.1)
            now = self._fault.heals(self._target)
            is_new = bool(set(now) - set(self._before)) or not self._fault.replaces
            if len(now) >= len(self._before) and is_new and _answers(self._target):
                self._whole_s = round(time.monotonic() - self._begun, 1)
                return


def _answers(target: Target) -> bool:
    connection = HTTPConnection(urlsplit(target.url).netloc, timeout=2)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def disturbed_s(result: DrillResult) -> int:
    """Seconds of the drill in which a request failed or the p99 was above the promise."""
    series = result.series
    bound = result.plan.slo.p99_ms
    return sum(bool(errors) or p99 > bound for errors, p99 in zip(series["errors"], series["p99_ms"], strict=True))


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['fault']:16} failed {row['failed']} of {row['requests']}, wrong {row['wrong_answers']}, "
        f"p99 {row['p99_ms']:.1f} ms, max {row['max_ms']:.0f} ms, disturbed {row['disturbed_s']} s, "
        f"whole again after {row['whole_again_s']} s  {row['error_counts']}"
    )


if __name__ == "__main__":
    main()
