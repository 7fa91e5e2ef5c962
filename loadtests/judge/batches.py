"""A drill's latencies in a few batches of time, compactly: what a comparison of two drills rests on.

Latencies that follow each other are alike, as they waited in the same queue, so the spread of single requests says
little about how far a percentile may be trusted; that of long batches of them does ("batch means": Law, "Simulation
Modeling and Analysis", chapter 9).
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from hdrh.histogram import HdrHistogram

from drillyard.core.errors import UsageError
from loadtests.generator.recorder import HIGHEST_US

BATCHES = 6


def pack(seconds: Mapping[int, Sequence[int]], duration_s: float) -> list[str]:
    """Latencies in us of each second -> one HDR histogram a batch, in HDR's own compressed form.

    Seconds after the end of the drill belong to its last batch.
    """
    whole = math.ceil(duration_s)
    batches = [HdrHistogram(1, HIGHEST_US, 3) for _ in range(BATCHES)]
    for t_s, latencies_us in seconds.items():
        batch = batches[min(t_s, whole - 1) * BATCHES // whole]
        for value, count in zip(*np.unique(latencies_us, return_counts=True), strict=True):
            batch.record_value(int(value), int(count))
    return [batch.encode().decode("ascii") for batch in batches]


def unpack(packed: Sequence[str]) -> tuple[HdrHistogram, ...]:
    """What `pack` made. Raises UsageError for anything else."""
    try:
        return tuple(HdrHistogram.decode(text.encode("ascii")) for text in packed)
    except Exception as error:  # the library raises what the broken bytes happen to break
        raise UsageError("latency_batches", type(error).__name__, "HDR histograms in their compressed form") from error


def split(series: Sequence[float], duration_s: float) -> list[float]:
    """Counts of each second -> their sums in the same batches."""
    whole = math.ceil(duration_s)
    sums = [0.0] * BATCHES
    for t_s, count in enumerate(series):
        sums[min(t_s, whole - 1) * BATCHES // whole] += count
    return sums
