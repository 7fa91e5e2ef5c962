"""One long stream of arrivals as many short ones, so that the fast simulation can take them side by side."""

import math
from dataclasses import dataclass

import numpy as np

from designs.twin import fast
from designs.twin.node import Array, Node

LENGTH, WARM_UP = 1024, 256  # requests of a segment, and those before them that only fill its queues
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

    A segment's queues are filled by the `WARM_UP` requests before it, so a wait that reaches back further is cut.
    """
    segments = np.tile(split(times_s), (math.ceil(max(at_least, 1) / len(times_s)), 1))
    counted = np.tile(_counted(len(times_s)), (len(segments) // -(-len(times_s) // LENGTH), 1))
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


def split(times_s: Array) -> Array:
    """(N,) -> (segments, WARM_UP + LENGTH), padded at both ends with requests that meet nobody."""
    count = -(-len(times_s) // LENGTH)
    before = times_s[0] - _APART_S * np.arange(WARM_UP, 0, -1)
    after = times_s[-1] + _APART_S * np.arange(1, count * LENGTH - len(times_s) + 1)
    padded = np.concatenate([before, times_s, after])
    places = np.arange(count)[:, None] * LENGTH + np.arange(WARM_UP + LENGTH)
    found: Array = padded[places]
    return found


def _counted(requests: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Which places of the segments hold a request of the stream that is not there for warming up."""
    count = -(-requests // LENGTH)
    places = np.arange(count)[:, None] * LENGTH + np.arange(WARM_UP + LENGTH)
    inside: np.ndarray[tuple[int, int], np.dtype[np.bool_]] = (places >= WARM_UP) & (places < WARM_UP + requests)
    inside[:, :WARM_UP] = False
    return inside
