"""One drill in a process of its own, as Locust patches the interpreter:

    python -m loadtests.runner --plan plan.json --url http://127.0.0.1:8000 --samples FOLDER --out result.json

Exit codes are drillyard's: 0 PASS, 1 FAIL, 2 wrong usage, 3 INVALID. A missing result file means that the run crashed.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from locust.env import Environment
from pydantic import ValidationError

from drillyard.core import budget, provenance
from drillyard.core.errors import DrillyardError, UsageError
from drillyard.core.settings import Settings
from drillyard.core.slo import DrillPlan, DrillResult
from loadtests.arrivals import schedule
from loadtests.openloop import MAX_IN_FLIGHT, TIMEOUT_S, OpenLoop
from loadtests.payloads import Payloads
from loadtests.progress import Progress
from loadtests.recorder import Recorder
from loadtests.users import OpenLoopUser, reporter
from loadtests.verdict import judge

# Before the drill: opens connections and lets the system compile, cache and scale what the first requests touch. Not
# recorded, not in the promise.
WARM_UP_S, WARM_UP_SHARE = 2.0, 0.1


def drill(plan: DrillPlan, *, url: str, samples: Path, api_key: str | None) -> DrillResult:
    """Warm up, drill, judge; a progress line a second on standard output. Raises UsageError, ArtifactRefused."""
    real_time = _run_in_real_time()
    payloads = Payloads.load(samples)
    times = schedule(plan.load)
    environment = Environment(user_classes=[OpenLoopUser], host=url)
    environment.create_local_runner()

    def recorded(phase: Any, times: Any, report: Any = None) -> Recorder:
        recorder = Recorder(plan.slo.p99_ms)
        loop = OpenLoop(
            url=url,
            model=plan.model,
            payloads=payloads,
            times=times,
            numbers=range(len(times)),
            recorder=recorder,
            report=report,
            api_key=api_key,
        )
        duration_s = WARM_UP_S if phase == "warm-up" else plan.load.duration_s
        _run(environment, loop, phase, duration_s, lambda: _budget_left(plan, recorder, len(times)))
        return recorder

    warm_up = plan.load.model_copy(
        update={"rate_rps": plan.load.rate_rps * WARM_UP_SHARE, "duration_s": WARM_UP_S, "seed": plan.load.seed + 1}
    )
    warmed = recorded("warm-up", schedule(warm_up))
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    recorder = recorded("drill", times, reporter(environment))
    cpu_share = (time.process_time() - cpu_s) / (time.perf_counter() - wall_s)
    environment.runner.quit()
    extra = {
        "warm_up_requests": warmed.requests,
        "url": url,
        "generator_cpu_share": round(cpu_share, 3),
        "generator_real_time": real_time,
    }
    return budget.scored(_result(plan, recorder, len(times), started_at, extra))


def _run_in_real_time() -> bool:
    """Ask for real-time scheduling, which root may have; without it a busy machine delays sends by some milliseconds.

    Measured on 2 cores with 4 other running processes: 99.9% of timer wake-ups within 0.3 to 2.2 ms instead of 4.7 to
    7.0 ms. The kernel leaves other processes their share; children of this one do not inherit it.
    """
    if not hasattr(os, "sched_setscheduler"):
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        return False
    return True


def _run(environment: Any, loop: OpenLoop, phase: Any, duration_s: float, left: Callable[[], float | None]) -> None:
    """Have a Locust user run the loop; blocks until its last answer."""
    environment.drill = loop
    environment.runner.start(1, spawn_rate=1)
    ended, before, before_s = False, 0, 0.0
    while not ended:  # a line even at the end, so that the parent sees the final counts
        ended = loop.done.wait(timeout=1.0)
        recorder, now_s = loop.recorder, loop.elapsed_s
        line = Progress(
            phase=phase,
            t_s=round(now_s, 2),
            duration_s=duration_s,
            sent=recorder.requests,
            ok=recorder.ok,
            errors=recorder.errors,
            slow=recorder.slow,
            rate_rps=round((recorder.ok - before) / max(now_s - before_s, 1e-3), 1),
            p99_ms=recorder.percentile_ms(99),
            budget_left=left(),
        )
        before, before_s = recorder.ok, now_s
        sys.stdout.write(line.model_dump_json() + "\n")
        sys.stdout.flush()  # raises when the parent is gone, and so ends the drill
    environment.runner.stop()


def _budget_left(plan: DrillPlan, recorder: Recorder, scheduled: int) -> float | None:
    """Share of the whole drill's error budget that is not spent yet, of the objective that is worst off."""
    bad = {budget.AVAILABILITY: recorder.errors, budget.LATENCY: recorder.slow}
    worst = budget.worst([budget.spent(bad[name], share, scheduled) for name, share in budget.allowed(plan).items()])
    return None if worst is None else 1 - worst


def _result(plan: DrillPlan, recorder: Recorder, scheduled: int, started_at: str, extra: dict[str, Any]) -> DrillResult:
    measured = recorder.measured(scheduled)
    verdict, reasons = judge(plan, measured)
    percentiles = measured.percentiles_ms
    return DrillResult(
        plan=plan,
        verdict=verdict,
        reasons=reasons,
        offered_rps=scheduled / plan.load.duration_s,
        goodput_rps=measured.good / plan.load.duration_s,
        requests=measured.requests,
        errors=measured.errors,
        error_counts=measured.error_counts,
        late_sends=measured.late_sends,
        p50_ms=percentiles[50.0],
        p90_ms=percentiles[90.0],
        p99_ms=percentiles[99.0],
        p999_ms=percentiles[99.9],
        max_ms=percentiles[100.0],
        started_at=started_at,
        commit=provenance.commit(),
        machine=provenance.machine(),
        series=recorder.series(),
        percentiles=recorder.curve(),
        extra={
            **extra,
            "timed_requests": measured.timed,
            "over_p99_bound": measured.over_bound,
            "checked_answers": measured.ok + measured.error_counts.get("wrong answer", 0),
            "send_lag_ms": recorder.send_lag_ms(),
            "refusal_ms": recorder.refusal_ms(),
            "warm_up_s": WARM_UP_S,
            "timeout_s": TIMEOUT_S,
            "max_in_flight": MAX_IN_FLIGHT,
        },
    )


def _read_plan(path: Path) -> DrillPlan:
    try:
        return DrillPlan.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as exc:
        raise UsageError("plan", str(path), f"a readable DrillPlan as JSON ({exc})") from exc


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.runner", description="Run one drill and judge it.")
    parser.add_argument("--plan", type=Path, required=True, help="DrillPlan as JSON")
    parser.add_argument("--url", required=True, help="the server, such as http://127.0.0.1:8000")
    parser.add_argument("--samples", type=Path, required=True, help="folder with samples.npz and card.json")
    parser.add_argument("--out", type=Path, required=True, help="where the DrillResult is written as JSON")
    args = parser.parse_args(argv)
    try:
        api_key = Settings.from_env(os.environ).api_key
        result = drill(_read_plan(args.plan), url=args.url, samples=args.samples, api_key=api_key)
    except DrillyardError as exc:
        sys.stderr.write(f"{exc}\n")
        return exc.exit_code
    partial = args.out.with_suffix(".partial")
    partial.write_text(result.model_dump_json(indent=2) + "\n")
    partial.replace(args.out)
    return result.verdict.exit_code


if __name__ == "__main__":
    sys.exit(main())
