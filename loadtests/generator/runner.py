"""One drill in a process of its own, as Locust patches the interpreter:

    python -m loadtests.generator.runner --plan plan.json --url http://127.0.0.1:8000 --samples FOLDER --out result.json

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

from drillyard.core import budget
from drillyard.core.errors import DrillyardError, UsageError
from drillyard.core.load import ClosedLoad, Load
from drillyard.core.settings import Settings
from drillyard.core.slo import DrillPlan, DrillResult
from loadtests.generator import traffic
from loadtests.generator.arrivals import schedule
from loadtests.generator.closedloop import ClosedLoop
from loadtests.generator.exchange import TIMEOUT_S, Exchange
from loadtests.generator.limit import measure as measure_limit
from loadtests.generator.limit import refuse_beyond
from loadtests.generator.openloop import MAX_IN_FLIGHT, OpenLoop
from loadtests.generator.payloads import Payloads
from loadtests.generator.progress import LATENCY_BOUNDS_S, Progress
from loadtests.generator.realtime import run_in_real_time
from loadtests.generator.recorder import Recorder
from loadtests.generator.users import LoopUser, reporter
from loadtests.judge.quality import Watch
from loadtests.judge.result import result

# Before the drill: opens connections and lets the system compile, cache and scale what the first requests touch. Not
# recorded, not in the promise.
WARM_UP_S, WARM_UP_SHARE = 2.0, 0.1


def drill(plan: DrillPlan, *, url: str, samples: Path, api_key: str | None) -> DrillResult:
    """Warm up, drill, judge; a progress line a second on standard output.

    Raises UsageError, ArtifactRefused, and InvalidMeasurement for a load beyond what this process can send.
    """
    real_time = run_in_real_time()
    payloads = Payloads.load(samples, _rows(plan.load))
    watch = Watch.of(plan, payloads, samples)
    requests = watch.requests if watch else traffic.shaped(plan.traffic, payloads, samples)
    environment = Environment(user_classes=[LoopUser], host=url)
    environment.create_local_runner()
    extra: dict[str, Any] = {"url": url, "generator_real_time": real_time}
    if isinstance(plan.load, Load):
        extra["generator_limit_rps"] = round(measure_limit(payloads, plan.model, reporter(environment)))
        refuse_beyond(extra["generator_limit_rps"], schedule(plan.load))

    def recorded(phase: Any, load: Load | ClosedLoad, report: Any = None) -> tuple[Recorder, int, int]:
        exchange = Exchange(url=url, model=plan.model, payloads=requests, api_key=api_key, retries=plan.retries)
        fresh = watch.begin(plan.slo.p99_ms) if watch else Recorder(plan.slo.p99_ms)
        loop = _loop(load, exchange, fresh, report)
        _run(environment, loop, phase, load.duration_s, lambda: _budget_left(plan, loop.recorder, loop.scheduled))
        return loop.recorder, loop.scheduled, exchange.sends

    warmed, _, _ = recorded("warm-up", _warm_up(plan.load))
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    recorder, scheduled, sends = recorded("drill", plan.load, reporter(environment))
    cpu_share = (time.process_time() - cpu_s) / (time.perf_counter() - wall_s)
    environment.runner.quit()
    extra |= {
        "warm_up_requests": warmed.requests,
        "warm_up_s": WARM_UP_S,
        "generator_cpu_share": round(cpu_share, 3),
        "timeout_s": plan.retries.timeout_s if plan.retries else TIMEOUT_S,
        "sends_per_request": sends / max(1, recorder.requests),
        "max_in_flight": MAX_IN_FLIGHT,
    }
    if watch and isinstance(plan.load, Load):
        extra["quality"] = watch.figures(schedule(plan.load))
    return result(plan, recorder, scheduled, started_at, extra)


def _rows(load: Load | ClosedLoad) -> int:
    return load.rows if isinstance(load, ClosedLoad) else 1


def _loop(load: Load | ClosedLoad, exchange: Exchange, recorder: Recorder, report: Any) -> OpenLoop | ClosedLoop:
    if isinstance(load, ClosedLoad):
        return ClosedLoop(exchange=exchange, load=load, recorder=recorder, report=report)
    times = schedule(load)
    return OpenLoop(exchange=exchange, times=times, numbers=range(len(times)), recorder=recorder, report=report)


def _warm_up(load: Load | ClosedLoad) -> Load | ClosedLoad:
    if isinstance(load, ClosedLoad):
        return load.model_copy(update={"duration_s": WARM_UP_S})
    return Load(rate_rps=load.rate_rps * WARM_UP_SHARE, duration_s=WARM_UP_S, seed=load.seed + 1)


def _run(
    environment: Any, loop: OpenLoop | ClosedLoop, phase: Any, duration_s: float, left: Callable[[], float | None]
) -> None:
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
            latency_counts=recorder.counts_up_to(LATENCY_BOUNDS_S),
            latency_sum_s=recorder.latency_sum_s,
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


def _read_plan(path: Path) -> DrillPlan:
    try:
        return DrillPlan.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as exc:
        raise UsageError("plan", str(path), f"a readable DrillPlan as JSON ({exc})") from exc


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.generator.runner", description="Run one drill and judge it."
    )
    parser.add_argument("--plan", type=Path, required=True, help="DrillPlan as JSON")
    parser.add_argument("--url", required=True, help="the server, such as http://127.0.0.1:8000")
    parser.add_argument("--samples", type=Path, required=True, help="folder with samples.npz and card.json")
    parser.add_argument("--out", type=Path, required=True, help="where the DrillResult is written as JSON")
    args = parser.parse_args(argv)
    try:
        api_key = Settings.from_env(os.environ).api_key
        measured = drill(_read_plan(args.plan), url=args.url, samples=args.samples, api_key=api_key)
    except DrillyardError as exc:
        sys.stderr.write(f"{exc}\n")
        return exc.exit_code
    partial = args.out.with_suffix(".partial")
    partial.write_text(measured.model_dump_json(indent=2) + "\n")
    partial.replace(args.out)
    return measured.verdict.exit_code


if __name__ == "__main__":
    sys.exit(main())
