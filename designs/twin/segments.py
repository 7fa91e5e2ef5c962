"""One long stream of arrivals as many short ones, so that the fast simulation can take them side by side."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from designs.twin import fast
from designs.twin.node import Array, Node

LENGTH = 1024  # requests of a segment for each replica; half as many before them only fill its queues
SHORT = 256  # the same where the rate changes
LEVELS = 8  # of a rate that changes
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

    A segment's queues are filled by the `LENGTH / 2` requests a replica before it: a wait that reaches back further is
    cut.
    """
    length = LENGTH * node.replicas
    return _run(node, *split(times_s, length, length // 2), rng, _times(times_s, at_least))


def simulate_shaped(
    node_at: Callable[[float], Node], times_s: Array, rng: np.random.Generator, at_least: int = 0
) -> Sample:
    """The same for a rate that changes: segments are short, and each goes through the node of its own rate.

    `node_at` takes requests a second. Rates are put into few levels, each with the node of its mean.
    """
    replicas = node_at(len(times_s) / float(times_s[-1] - times_s[0])).replicas
    rows, counted = split(times_s, SHORT * replicas, LENGTH // 2 * replicas)
    rates = np.array([_rate_rps(row[mask]) for row, mask in zip(rows, counted, strict=True)])
    edges = np.geomspace(rates.min(), rates.max(), LEVELS + 1)[1:-1]
    levels = np.digitize(rates, edges)
    found = []
    for level in np.unique(levels):
        here = levels == level
        node = node_at(float(rates[here].mean()))
        found.append(_run(node, rows[here], counted[here], rng, _times(times_s, at_least)))
    answered = [len(each.latency_s) for each in found]
    return Sample(
        latency_s=np.concatenate([each.latency_s for each in found]),
        refused=sum(each.refused for each in found),
        calls=float(np.average([each.calls for each in found], weights=answered)) if sum(answered) else 0.0,
    )


def _times(times_s: Array, at_least: int) -> int:
    return math.ceil(max(at_least, 1) / len(times_s))


def _rate_rps(times_s: Array) -> float:
    return (len(times_s) - 1) / float(times_s[-1] - times_s[0]) if len(times_s) > 1 else 1.0


def _run(node: Node, rows: Array, mask: NDArray[np.bool_], rng: np.random.Generator, times: int) -> Sample:
    """Segments and what is to be counted of each, so many times."""
    segments, counted = np.tile(rows, (times, 1)), np.tile(mask, (times, 1))
    latencies, refused, calls, answered = [], 0, 0, 0
    height = max(1, _CHUNK // segments.shape[1])
    for top in range(0, len(segments), height):
        found = fast.simulate(node, segments[top : top + height], rng)
        kept = found.latency_s[counted[top : top + height]]
        latencies.append(kept[~np.isnan(kept)])
        refused += int(np.isnan(kept).sum())
        calls += found.calls
        answered += int((~np.isnan(found.latency_s)).sum())
    return Sample(latency_s=np.concatenate(latencies), refused=refused, calls=calls / max(answered, 1))


def split(times_s: Array, length: int, warm_up: int) -> tuple[Array, NDArray[np.bool_]]:
    """(N,) -> (segments, warm_up + length), and which of these are to be counted.

    The rest are there for warming up, or pad the stream at both ends and meet nobody.
    """
    count = -(-len(times_s) // length)
    before = times_s[0] - _APART_S * np.arange(warm_up, 0, -1)
    after = times_s[-1] + _APART_S * np.arange(1, count * length - len(times_s) + 1)
    padded = np.concatenate([before, times_s, after])
    places = np.arange(count)[:, None] * length + np.arange(warm_up + length)
    counted = (places < warm_up + len(times_s)) & (np.arange(warm_up + length) >= warm_up)
    segments: Array = padded[places]
    return segments, counted
