"""One long stream of arrivals as many short ones, so that the fast simulation can take them side by side."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from designs.twin import fast
from designs.twin.node import Array, Node

LENGTH = 1024  # requests of a segment; half as many before them only fill its queues
_APART_S = 1e4  # between requests that pad a segment: too far for any queue
_CHUNK = 2**22  # requests simulated at once; bounds the memory to some 200 MiB


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What the requests of a stream met."""

    latency_s: Array  # (answered,)
    refused: int
    calls: float  # of the model, for each answered request

    @property
    def requests(self) -> int:
        return len(self.latency_s) + self.refused


def simulate(node: Node, times_s: Array, rng: np.random.Generator, at_least: int = 0) -> Sample:
    """The stream (N,) through the node, as often as makes `at_least` requests; service times differ each time.

    A segment's queues are filled by the `LENGTH / 2` requests before it: a wait that reaches back further is cut.
    """
    times = math.ceil(max(at_least, 1) / len(times_s))
    once, once_counted = split(times_s)
    segments, counted = np.tile(once, (times, 1)), np.tile(once_counted, (times, 1))
    latencies, refused, calls, rows = [], 0, 0, 0
    height = max(1, _CHUNK // segments.shape[1])
    for top in range(0, len(segments), height):
        chunk, mask = segments[top : top + height], counted[top : top + height]
        found = fast.simulate(node, chunk, rng)
        kept = found.latency_s[mask]
        latencies.append(kept[~np.isnan(kept)])
        refused += int(np.isnan(kept).sum())
        calls += found.calls
        rows += int((~np.isnan(found.latency_s)).sum())
    return Sample(latency_s=np.concatenate(latencies), refused=refused, calls=calls / max(rows, 1))


def split(times_s: Array) -> tuple[Array, NDArray[np.bool_]]:
    """(N,) -> (segments, LENGTH / 2 + LENGTH), and which of these are to be counted.

    The rest are there for warming up, or pad the stream at both ends and meet nobody.
    """
    warm_up, count = LENGTH // 2, -(-len(times_s) // LENGTH)
    before = times_s[0] - _APART_S * np.arange(warm_up, 0, -1)
    after = times_s[-1] + _APART_S * np.arange(1, count * LENGTH - len(times_s) + 1)
    padded = np.concatenate([before, times_s, after])
    places = np.arange(count)[:, None] * LENGTH + np.arange(warm_up + LENGTH)
    counted = (places < warm_up + len(times_s)) & (np.arange(warm_up + LENGTH) >= warm_up)
    segments: Array = padded[places]
    return segments, counted
