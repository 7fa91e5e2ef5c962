"""When requests should be sent: a load -> intended send times, as data.

Arrivals know nothing of the system under test, so a slow answer never delays the next send (open loop). A new arrival
process is one shape in `drillyard.core.load` and one function here. All but a replay are Poisson processes whose rate
changes with time, made from one of unit rate by inverting the cumulated rate (Cinlar, "Introduction to Stochastic
Processes", 1975).
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drillyard.core.errors import UsageError
from drillyard.core.load import Bursts, Diurnal, Load, Poisson, Ramp, Replay, Shape, Spike, Steps

Times = NDArray[np.float64]  # (requests,) seconds since the start of the drill, ascending
Generator = np.random.Generator
_GRID = 4096  # points at which a rate that changes smoothly is cumulated


def schedule(load: Load) -> Times:
    """Intended send times in seconds, (requests,), ascending in [0, duration_s); same load, same times.

    Raises UsageError for a rate or a duration that is not a positive finite number, and for an unreadable trace.
    """
    for key in ("rate_rps", "duration_s"):
        value = getattr(load, key)
        if not (math.isfinite(value) and value > 0):
            raise UsageError(key, value, "a positive number")
    if isinstance(load.shape, Replay):
        return _replayed(load, load.shape)
    rng = np.random.default_rng(load.seed)
    at_s, factors = rates(load.shape, load.duration_s, rng)
    return _poisson(at_s, factors * load.rate_rps, rng)


def rates(shape: Shape, duration_s: float, rng: Generator) -> tuple[Times, Times]:
    """The rate over time, as points of a broken line: (points,) seconds, (points,) multiples of the base rate."""
    at_s, factors = _RATES[type(shape)](shape, duration_s, rng)
    return np.asarray(at_s, float), np.asarray(factors, float)


def _poisson(at_s: Times, rate_rps: Times, rng: Generator) -> Times:
    """Arrivals of a Poisson process whose rate is this broken line."""
    expected = np.concatenate([[0.0], np.cumsum(np.diff(at_s) * (rate_rps[1:] + rate_rps[:-1]) / 2)])
    units: Times = np.empty(0)
    while not units.size or units[-1] < expected[-1]:
        chunk = math.ceil(expected[-1] + 6 * math.sqrt(expected[-1]) + 16)  # one draw is nearly always enough
        units = np.concatenate([units, (units[-1] if units.size else 0.0) + np.cumsum(rng.exponential(1.0, chunk))])
    times: Times = np.interp(units[units < expected[-1]], expected, at_s)
    return times[times < at_s[-1]]


def _constant(shape: Poisson, duration_s: float, rng: Generator) -> Any:
    del shape, rng
    return [0.0, duration_s], [1.0, 1.0]


def _bursts(shape: Bursts, duration_s: float, rng: Generator) -> Any:
    at_s, factors, bursting = [0.0], [1.0], False
    while at_s[-1] < duration_s:
        end_s = min(duration_s, at_s[-1] + rng.exponential(shape.burst_s if bursting else shape.calm_s))
        bursting = not bursting
        at_s += [end_s, end_s]
        factors += [factors[-1], shape.factor if bursting else 1.0]
    return at_s, factors


def _diurnal(shape: Diurnal, duration_s: float, rng: Generator) -> Any:
    del rng
    at_s = np.linspace(0.0, duration_s, _GRID)
    height = (1 - np.cos(2 * np.pi * at_s / shape.day_s)) / 2  # 0 at night, 1 at the peak
    return at_s, shape.night + (1 - shape.night) * height


def _ramp(shape: Ramp, duration_s: float, rng: Generator) -> Any:
    del rng
    return np.linspace(0.0, duration_s, _GRID), np.linspace(shape.start, shape.end, _GRID)


def _spike(shape: Spike, duration_s: float, rng: Generator) -> Any:
    del rng
    begin, end = (min(t, duration_s) for t in (shape.at_s, shape.at_s + shape.lasts_s))
    return [0.0, begin, begin, end, end, duration_s], [1.0, 1.0, shape.factor, shape.factor, 1.0, 1.0]


def _steps(shape: Steps, duration_s: float, rng: Generator) -> Any:
    del rng
    edges = np.linspace(0.0, duration_s, len(shape.factors) + 1)
    return np.repeat(edges, 2)[1:-1], np.repeat(shape.factors, 2)


_RATES: dict[type, Callable[[Any, float, Generator], Any]] = {
    Poisson: _constant,
    Bursts: _bursts,
    Diurnal: _diurnal,
    Ramp: _ramp,
    Spike: _spike,
    Steps: _steps,
}


def _replayed(load: Load, shape: Replay) -> Times:
    """The trace from its first arrival on, stretched so that its mean rate is the base rate, cut at the duration."""
    try:
        trace = np.sort(np.array(Path(shape.path).read_text().split(), dtype=float))[:: shape.every]
    except (OSError, ValueError) as exc:
        raise UsageError("path", shape.path, f"a text file with one arrival time in seconds a line ({exc})") from exc
    if len(trace) < 2 or not np.isfinite(trace).all() or trace[-1] == trace[0]:
        raise UsageError("path", shape.path, "at least two different finite times, in seconds, one a line")
    times: Times = (trace - trace[0]) * ((len(trace) - 1) / (trace[-1] - trace[0]) / load.rate_rps)
    return times[times < load.duration_s]
