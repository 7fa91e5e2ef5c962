"""One drill of a running server with its costs: what calibration and its check are made of."""

from collections.abc import Callable
from pathlib import Path

from designs.twin import meter
from drillyard.core.contract import Frozen
from drillyard.core.errors import InvalidMeasurement
from drillyard.core.load import ClosedLoad, Load
from drillyard.core.slo import DrillPlan, DrillResult, Slo
from loadtests.chaos.target import Target
from loadtests.generator.progress import Progress
from loadtests.launch import run_drill
from loadtests.steady import late, taken


class Observation(Frozen):
    """What one drill measured; costs are means for one answered request."""

    load: Load | ClosedLoad
    requests: int
    answered_rps: float
    p50_ms: float
    p99_ms: float
    shed_share: float
    busy_cores: float
    proxy_us: float
    proxy_wait_us: float
    loop_us: float
    loop_wait_us: float
    generator_us: float  # of the load generator: fixed work, so it tells how fast the machine was
    call_us: float  # of the model
    call_rows: float  # mean of a call
    curve: list[tuple[float, float]]  # (percentile, latency_ms)


class Observer:
    """Drills one model of a running server of this machine."""

    def __init__(self, target: Target, *, samples: Path, slo: Slo, reports: Path, say: Callable[[str], None]) -> None:
        """`samples`: the folder of the served version."""
        self.target, self.slo, self._say = target, slo, say
        self.version = f"{target.model}/{samples.name}"  # asked for by number, so that no other version is measured
        self._samples, self._out = samples, reports / f"twin-{target.model}.json"

    def observe(self, load: Load | ClosedLoad) -> Observation:
        """Raises InvalidMeasurement when the generator fell behind each time, or nothing was answered."""
        return taken(lambda: self._observe(load), self._say)

    def _observe(self, load: Load | ClosedLoad) -> Observation:
        readings: list[tuple[meter.Counters, Progress]] = []

        def on_progress(progress: Progress) -> None:
            if progress.phase == "drill" and (not readings or progress.t_s <= load.duration_s):
                readings[1:] = [(meter.read(self.target), progress)]

        plan = DrillPlan(model=self.version, load=load, slo=self.slo, min_duration_s=load.duration_s)
        result = run_drill(plan, url=self.target.url, samples=self._samples, out=self._out, on_progress=on_progress)
        if why := late(result):
            raise InvalidMeasurement(why)
        if len(readings) < 2:
            raise InvalidMeasurement(f"{load.words}: the drill was too short for its costs to be read")
        found = _observation(result, readings)
        self._say(
            f"{self.version}, {load.words}: p50 {found.p50_ms:.2f} ms, p99 {found.p99_ms:.2f} ms, "
            f"{found.shed_share:.1%} shed, {found.busy_cores:.2f} cores busy, {found.generator_us:.0f} us to send one"
        )
        return found


def _observation(result: DrillResult, readings: list[tuple[meter.Counters, Progress]]) -> Observation:
    (first, begun), (last, ended) = readings
    seconds, answered = ended.t_s - begun.t_s, ended.ok - begun.ok
    if not answered:
        raise InvalidMeasurement(f"{result.plan.load.words}: nothing was answered")
    work = meter.between(first, last)
    duration_s = result.plan.load.duration_s
    return Observation(
        load=result.plan.load,
        requests=result.requests,
        answered_rps=answered / seconds,
        p50_ms=result.p50_ms,
        p99_ms=result.p99_ms,
        shed_share=result.error_counts.get("503", 0) / result.requests,
        busy_cores=work.busy_s / seconds,
        proxy_us=work.proxy_s / answered * 1e6,
        proxy_wait_us=work.proxy_wait_s / answered * 1e6,
        loop_us=work.loop_s / answered * 1e6,
        loop_wait_us=work.loop_wait_s / answered * 1e6,
        generator_us=result.extra["generator_cpu_share"] * duration_s / result.requests * 1e6,
        call_us=work.calls_s / max(work.calls, 1) * 1e6,
        call_rows=work.rows / max(work.calls, 1),
        curve=result.percentiles,
    )
