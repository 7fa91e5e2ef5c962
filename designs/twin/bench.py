"""The twin's predictions beside measurements that it was not calibrated on.

make bench-twin    (fraud and vision champions, one replica each; writes .drillyard/reports/bench-twin.json and .svg)

Rates that calibrate and rates that are held back alternate, since the machine's speed changes within minutes; what the
load generator took to send a request says by how much. A row is the median over rounds of both: pauses alone make the
p99 of 8,000 requests differ by a fifth from drill to drill. The result holds the calibrations, for `drillyard twin
predict`.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from statistics import median
from typing import Any

import designs
from designs.twin.calibrate import SHARES, assemble, capacity_rps, idle_cores, one_user
from designs.twin.observe import Observation, Observer
from designs.twin.plot import draw
from designs.twin.predict import predict, span, sustainable_rps
from designs.twin.stations import slowdown
from designs.twin.types import Calibration, Scenario, Span
from drillyard.core import entry, provenance
from drillyard.core.benchmark import keep, say
from drillyard.core.errors import InvalidMeasurement
from drillyard.core.load import Bursts, Load
from drillyard.core.settings import Settings
from drillyard.core.slo import Slo
from loadtests.bench.server import samples, server
from loadtests.chaos.target import Target

HELD_BACK = (0.18, 0.4, 0.62)  # of the capacity, between the rates that calibrate
BURSTS = (0.35, Bursts(factor=1.8, calm_s=2.0, burst_s=1.0))
STEP = 1.09  # between the rates among which the highest sustainable one is looked for
BARS = {"latency": 0.15, "sustainable": 0.10, "utilisation": 0.8}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="fraud,vision", help="names of champions")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duration", type=float, default=12, help="seconds a drill; half as long in the rising series")
    parser.add_argument("--port", type=int, default=8088)
    options = parser.parse_args()
    settings = Settings.from_env(os.environ)
    began, origin = time.monotonic(), provenance.stamp()
    systems = {}
    for model in options.models.split(","):
        with server(model, port=options.port, replicas=1):
            observer = Observer(
                Target.of(settings, model),
                samples=samples(settings, model),
                slo=designs.get(model).drill.slo,
                reports=settings.reports,
                say=say,
            )
            systems[model] = measured(observer, options.rounds, options.duration)
    content = {**origin, "bars": BARS, "systems": systems, "elapsed_s": round(time.monotonic() - began)}
    path = keep(settings, "bench-twin", content)
    draw(content, path.with_suffix(".svg"))
    sys.stdout.write(f"figures: {path}\n")


def measured(observer: Observer, rounds: int, seconds: float) -> dict[str, Any]:
    """One system: its calibration, and each held-back load predicted and measured."""
    background = idle_cores(observer)
    capacity = capacity_rps(observer, one_user(observer, seconds))
    calibrating: list[tuple[Observation, list[Observation]]] = []
    held_back: list[list[Observation]] = []  # by round
    series: list[list[Observation]] = []
    base, shape = BURSTS
    for number in range(rounds):
        lone = one_user(observer, seconds)
        loads = _loads(SHARES, capacity, seconds, seed=100 * (number + 1))
        bursty = _load(base * capacity, seconds, number).model_copy(update={"shape": shape})
        others = [*_loads(HELD_BACK, capacity, seconds, seed=1000 * (number + 1)), bursty]
        seen, held = [], []
        for load, other in zip_longest(loads, others):
            seen.append(observer.observe(load))
            if other is not None:
                held.append(observer.observe(other))
        calibrating.append((lone, seen))
        held_back.append(held)
        series.append(_rising(observer, 0.5 * capacity, seconds / 2, seed=2000 * (number + 1)))
    calibration = assemble(observer, background, calibrating)
    return {
        "calibration": calibration.model_dump(mode="json"),
        "rows": [row(calibration, drills, observer.slo) for drills in zip(*held_back, strict=True)],
        "sustainable": _sustainable(calibration, series, observer.slo),
        "observations": [each.model_dump(mode="json") for lone, seen in calibrating for each in (lone, *seen)],
    }


def row(calibration: Calibration, drills: Sequence[Observation], slo: Slo) -> dict[str, Any]:
    """One held-back load, a drill of it in each round: measured, predicted, and by which share they differ."""
    scenarios = [_scenario(calibration, each, slo) for each in drills]
    found = [predict(calibration, scenario) for scenario in scenarios]
    return {
        "load": drills[0].load.model_dump(mode="json"),
        "drills": len(drills),
        "requests": sum(each.requests for each in drills),
        "slowdown": _span([each.slowdown for each in scenarios]),
        "utilisation": median(each.utilisation.value for each in found),
        "bottleneck": found[0].bottleneck,
        "p50_ms": _compared(_over([each.p50_ms for each in found]), _span([each.p50_ms for each in drills])),
        "p99_ms": _compared(_over([each.p99_ms for each in found]), _span([each.p99_ms for each in drills])),
        "shed_share": {
            "predicted": _over([each.shed_share for each in found]),
            "measured": _span([each.shed_share for each in drills]),
        },
    }


def _scenario(calibration: Calibration, seen: Observation, slo: Slo) -> Scenario:
    assert isinstance(seen.load, Load)
    slow = slowdown(calibration, seen.load.rate_rps, seen.generator_us)
    return Scenario(load=seen.load, slo=slo, replicas=calibration.replicas, slowdown=slow)


def _over(found: list[Span]) -> dict[str, float]:
    """The median of the predictions, and how far the rounds of the calibration are apart."""
    low, high = min(each.low for each in found), max(each.high for each in found)
    return {"value": median(each.value for each in found), "low": low, "high": high}


def _span(values: list[float]) -> dict[str, float]:
    return span(values).model_dump()


def _compared(predicted: dict[str, float], measured: dict[str, float]) -> dict[str, Any]:
    return {"predicted": predicted, "measured": measured, "error": predicted["value"] / measured["value"] - 1}


def _loads(shares: Iterable[float], capacity: float, seconds: float, seed: int) -> list[Load]:
    return [_load(share * capacity, seconds, seed + place) for place, share in enumerate(shares)]


def _load(rate_rps: float, seconds: float, seed: int) -> Load:
    return Load(rate_rps=round(rate_rps, 1), duration_s=seconds, seed=seed)


def _rising(observer: Observer, rate_rps: float, seconds: float, seed: int) -> list[Observation]:
    """Drills at rising rates, up to the second in a row that breaks the promise, or what the generator can send."""
    found: list[Observation] = []
    while [keeps(each, observer.slo) for each in found[-2:]] != [False, False]:
        try:
            found.append(observer.observe(_load(rate_rps, seconds, seed + len(found))))
        except InvalidMeasurement as beyond:
            if not found:
                raise
            say(f"the series ends here: {beyond}")
            break
        rate_rps *= STEP
    return found


def keeps(seen: Observation, slo: Slo) -> bool:
    """Whether this drill kept the promise; the shed share stands for errors."""
    return seen.p50_ms <= slo.p50_ms and seen.p99_ms <= slo.p99_ms and seen.shed_share <= slo.max_error_rate


def _sustainable(calibration: Calibration, rounds: list[list[Observation]], slo: Slo) -> dict[str, Any]:
    """Where each round's rising series broke the promise, beside where the twin's for that round does.

    That is between the last rate that kept it and the next: at their geometric mean.
    """
    highest = [_highest(series, slo) for series in rounds]
    scenarios = [_scenario(calibration, each, slo) for each in highest]
    predicted = _over([sustainable_rps(calibration, scenario) for scenario in scenarios])
    return {
        "kept": all(keeps(each, slo) for each in highest),
        "broken": all(not keeps(series[-1], slo) for series in rounds),  # False: the generator's limit ended a series
        "series": [
            [[each.load.model_dump()["rate_rps"], each.p99_ms, each.shed_share] for each in series] for series in rounds
        ],
        **_compared(predicted, _span([scenario.load.rate_rps * math.sqrt(STEP) for scenario in scenarios])),
    }


def _highest(series: list[Observation], slo: Slo) -> Observation:
    """The last drill that kept the promise, or the first of all."""
    return ([each for each in series if keeps(each, slo)] or series[:1])[-1]


if __name__ == "__main__":
    entry.run(main)
