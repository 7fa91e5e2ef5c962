"""When requests should be sent: a load -> intended send times, as data.

Arrivals know nothing of the system under test, so a slow answer never delays the next send (open loop). A new arrival
process is one function here and one word in `drillyard.core.slo.Load.arrivals`.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from drillyard.core.errors import UsageError
from drillyard.core.slo import Load

Times = NDArray[np.float64]  # (requests,) seconds since the start of the drill, ascending


def poisson(load: Load) -> Times:
    """A homogeneous Poisson process: independent exponential gaps with mean 1 / rate_rps."""
    rng = np.random.default_rng(load.seed)
    expected = load.rate_rps * load.duration_s
    chunk = math.ceil(expected + 6 * math.sqrt(expected) + 16)  # one draw is nearly always enough
    times: Times = np.empty(0)
    while not times.size or times[-1] < load.duration_s:
        start = times[-1] if times.size else 0.0
        times = np.concatenate([times, start + np.cumsum(rng.exponential(1 / load.rate_rps, chunk))])
    return times[times < load.duration_s]


PROCESSES: dict[str, Callable[[Load], Times]] = {"poisson": poisson}


def schedule(load: Load) -> Times:
    """Intended send times in seconds, (requests,), ascending in [0, duration_s); same load, same times.

    Raises UsageError for a rate or a duration that is not a positive finite number.
    """
    for key in ("rate_rps", "duration_s"):
        value = getattr(load, key)
        if not (math.isfinite(value) and value > 0):
            raise UsageError(key, value, "a positive number")
    return PROCESSES[load.arrivals](load)
