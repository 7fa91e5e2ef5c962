"""Each check drives the real generator, in its own process, against a server whose faults are known."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drillyard.core.benchmark import say
from drillyard.core.errors import ExitCode
from drillyard.core.load import Bursts, ClosedLoad, Diurnal, Load, Poisson, Ramp, Replay, Shape, Spike, Steps
from drillyard.core.slo import DrillPlan, DrillResult, Slo
from loadtests.catalogue.shaped import TRACE
from loadtests.generator.arrivals import schedule
from loadtests.generator.child import answering, generator_environment
from loadtests.generator.limit import echoing
from loadtests.generator.payloads import Payloads
from loadtests.judge.verdict import MAX_LATE_SHARE, queries_needed
from loadtests.launch import run_drill
from loadtests.selftest import model
from loadtests.steady import kept_up, undisturbed

SLO = Slo(p50_ms=50, p99_ms=50, max_error_rate=0.0)
QUERIES = {99: (459, 662, 838), 90: (44, 64, 81)}  # allow 0, 1, 2 over the bound (MLPerf Inference Rules)
ERROR_MS, ERROR_SHARE = 1.0, 0.01
FREEZE_S, FREEZE_RPS = 3.0, 100.0
LATE_LOW, LATE_HIGH = 270, 330  # about 300 requests are due in the freeze; their number is random (a Poisson count)
RATE_RPS = 3000.0
OVERLOAD_RPS = 30_000.0
SHAPES: tuple[Shape, ...] = (Poisson(), Bursts(), Diurnal(), Ramp(), Spike(), Steps(), Replay(path=str(TRACE)))


@dataclass(frozen=True, kw_only=True)
class Check:
    """One row: what was asked of the instrument, what it did."""

    name: str
    bar: str
    measured: str
    held: bool


def everything(folder: Path) -> Iterator[Check]:
    """All checks, one after the other; `folder` holds the samples, results are written to it too."""
    yield from percentiles(folder)
    yield from freeze(folder)
    yield from queries()
    yield from overload(folder)
    yield seeds()
    yield rate(folder)


def percentiles(folder: Path) -> Iterator[Check]:
    """Latencies against how long the server says that it held each answer back.

    Both have real-time scheduling, so that other processes do not come between an answer and its measurement. Other
    machines do: an answer that waits for a core which they have is late for its reader, and not for the server.
    """
    held_ms, result = undisturbed(lambda: _held_and_measured(folder), say)
    for percentile, got_ms in ((50, result.p50_ms), (90, result.p90_ms), (99, result.p99_ms)):
        truth_ms = float(np.percentile(held_ms, percentile, method="inverted_cdf"))
        allowed_ms = max(ERROR_MS, ERROR_SHARE * truth_ms)
        yield Check(
            name=f"p{percentile} against the server's own times",
            bar=f"{truth_ms:.2f} ms ± {allowed_ms:.2f} ms",
            measured=f"{got_ms:.2f} ms",
            held=abs(got_ms - truth_ms) <= allowed_ms,
        )


def _held_and_measured(folder: Path) -> tuple[list[float], DrillResult]:
    with delaying("--delay-ms", 8, "--slow-every", 40, "--slow-ms", 60, "--keep-times", "--real-time") as url:
        result = drilled(folder, url, Load(rate_rps=200, duration_s=12))
        with urllib.request.urlopen(url + "/stats") as stats:
            return json.load(stats)["held_ms"][-result.requests :], result  # without the warm-up


def freeze(folder: Path) -> Iterator[Check]:
    """The same freeze, from intended send times and in a closed loop of one user."""
    with delaying("--delay-ms", 5, "--freeze-at", 300, "--freeze-s", FREEZE_S) as url:
        result = drilled(folder, url, Load(rate_rps=FREEZE_RPS, duration_s=10))
    late = result.extra["over_p99_bound"]
    yield Check(
        name=f"late requests of a {FREEZE_S:g} s freeze at {FREEZE_RPS:g} requests/s, open loop",
        bar=f"{LATE_LOW} to {LATE_HIGH}",
        measured=str(late),
        held=LATE_LOW <= late <= LATE_HIGH,
    )
    with delaying("--delay-ms", 5, "--freeze-at", 600, "--freeze-s", FREEZE_S) as url:
        result = drilled(folder, url, ClosedLoad(users=1, duration_s=10))
    late = result.extra["over_p99_bound"]
    yield Check(name="the same freeze in a closed loop", bar="1", measured=str(late), held=late == 1)


def queries() -> Iterator[Check]:
    """The counts that the rules of MLPerf Inference print."""
    for percentile, printed in QUERIES.items():
        found = tuple(queries_needed(over, percentile) for over in range(len(printed)))
        yield Check(
            name=f"queries that a p{percentile} needs with 0, 1, 2 over its bound",
            bar=", ".join(map(str, printed)),
            measured=", ".join(map(str, found)),
            held=found == printed,
        )


def overload(folder: Path) -> Iterator[Check]:
    """More than the generator can send is refused; were it tried, it would be INVALID."""
    plan = folder / "overload.json"
    plan.write_text(planned(Load(rate_rps=OVERLOAD_RPS, duration_s=1)).model_dump_json())
    unlimited = "import sys, loadtests.generator.runner as r; r.measure_limit = lambda *_: 1e9; sys.exit(r.main())"
    for name, start in (("refused", ["-m", "loadtests.generator.runner"]), ("tried all the same", ["-c", unlimited])):
        with delaying() as url:
            command = [sys.executable, *start, "--plan", plan, "--url", url, "--samples", folder]
            command += ["--out", folder / "overload-result.json"]
            environment = generator_environment(None)
            code = subprocess.run([*map(str, command)], env=environment, capture_output=True, check=False).returncode
        yield Check(
            name=f"exit code of {OVERLOAD_RPS:,.0f} requests/s, {name}",
            bar=str(int(ExitCode.INVALID)),
            measured=str(code),
            held=code == ExitCode.INVALID,
        )


def seeds() -> Check:
    """Two schedules of each shape with one seed, and one with another."""
    loads = [Load(rate_rps=100, duration_s=40, seed=5, shape=shape) for shape in SHAPES]
    same = [np.array_equal(schedule(load), schedule(load)) for load in loads]
    random = [load for load in loads if not isinstance(load.shape, Replay)]
    others = [not np.array_equal(schedule(load), schedule(load.model_copy(update={"seed": 6}))) for load in random]
    return Check(
        name="shapes whose arrivals the seed decides",
        bar=f"{len(loads)} of {len(loads)} repeat, {len(random)} of {len(random)} differ by seed",
        measured=f"{sum(same)} of {len(loads)} repeat, {sum(others)} of {len(random)} differ by seed",
        held=all(same) and all(others),
    )


def rate(folder: Path) -> Check:
    """One generator process on one core against a server on the same two."""
    single = model.write(folder / "single", samples=1)  # one answer is right for all requests
    with echoing(Payloads.load(single).first_answer()) as url:
        load = Load(rate_rps=1.02 * RATE_RPS, duration_s=10)  # their number is random
        result = kept_up(lambda: drilled(single, url, load), say)
    share = result.late_sends / result.requests
    return Check(
        name="sends more than 5 ms late",
        bar=f"< {MAX_LATE_SHARE:.0%} at {RATE_RPS:,.0f} requests/s or more",
        measured=(
            f"{share:.2%} at {result.offered_rps:,.0f} requests/s; "
            f"found its own limit to be {result.extra['generator_limit_rps']:,} requests/s"
        ),
        held=share < MAX_LATE_SHARE and result.offered_rps >= RATE_RPS,
    )


def planned(load: Load | ClosedLoad) -> DrillPlan:
    return DrillPlan(model="fraud", load=load, slo=SLO)


def drilled(folder: Path, url: str, load: Load | ClosedLoad) -> DrillResult:
    return run_drill(planned(load), url=url, samples=folder, out=folder / "result.json")


def delaying(*options: object) -> AbstractContextManager[str]:
    """The address of a delay server with these options."""
    return answering("-m", "loadtests.selftest.server", *map(str, options))
