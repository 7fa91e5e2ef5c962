"""By how much two measurements differ, with an interval that allows for requests which are not independent.

A measurement comes in batches of time. How far a figure may be trusted is told by its spread over the batches (Law,
"Simulation Modeling and Analysis", chapter 9), widened where batches that follow each other are alike. What changes
slower than a measurement lasts, such as another program on the machine, is in no such interval.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, variance

from loadtests.judge.batches import BATCHES

# Two-sided quantile of Student's t at BATCHES - 1 degrees of freedom, for four figures that are together wrong in at
# most 5% of the comparisons of like with like (Bonferroni: 98.75% each).
T = 3.8100
_MOST_ALIKE = 0.9  # bounds the widening, since a few batches cannot show more

Interval = tuple[float, float, float]  # value, low and high end


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of a whole measurement, and of each of its batches."""

    whole: float
    batches: Sequence[float]

    @property
    def variance(self) -> float:
        """Of the whole's figure, from the spread of the batches' figures."""
        return variance(self.batches) / len(self.batches)


@dataclass(frozen=True, kw_only=True)
class Share:
    """Hits among requests, in batches."""

    hits: Sequence[float]
    requests: Sequence[float]

    @property
    def value(self) -> float:
        return sum(self.hits) / max(sum(self.requests), 1)


def ratio(before: Figure, after: Figure) -> Interval:
    """`after` over `before`, both positive; the interval is symmetric in the logarithm."""
    logs = [Figure(whole=math.log(f.whole), batches=[math.log(value) for value in f.batches]) for f in (before, after)]
    half = T * math.sqrt(sum(each.variance for each in logs) * widening([each.batches for each in logs]))
    value = logs[1].whole - logs[0].whole
    return math.exp(value), math.exp(value - half), math.exp(value + half)


def widening(series: Sequence[Sequence[float]]) -> float:
    """(1 + r) / (1 - r) for the largest correlation r of a batch with the one before; 1 if there is none."""
    alike = min(max(0.0, *(_lag_one(values) for values in series)), _MOST_ALIKE)
    return (1 + alike) / (1 - alike)


def difference(before: Share, after: Share) -> Interval:
    """`after` - `before`: Newcombe's interval from Wilson scores (Statistics in Medicine 17, 1998, method 10).

    Hits that come in bursts count as the fewer independent ones that they are: both numbers of requests are divided by
    the larger design effect of the two (Rao and Scott, Biometrics 48, 1992).
    """
    effect = max(design_effect(before), design_effect(after))
    (p1, low1, high1), (p2, low2, high2) = (_wilson(each, effect) for each in (before, after))
    value = p2 - p1
    return value, value - math.hypot(p2 - low2, high1 - p1), value + math.hypot(high2 - p2, p1 - low1)


def design_effect(share: Share) -> float:
    """How much more the batches' hits vary than those of independent requests would; at least 1."""
    total, p = sum(share.requests), share.value
    if not 0 < p < 1:
        return 1.0
    residues = [hits - p * requests for hits, requests in zip(share.hits, share.requests, strict=True)]
    between = BATCHES / (BATCHES - 1) * math.fsum(residue**2 for residue in residues) / total
    return max(1.0, between / (p * (1 - p)) * widening([residues]))


def _wilson(share: Share, effect: float) -> Interval:
    n, p = max(sum(share.requests), 1) / effect, share.value
    middle = (p + T * T / (2 * n)) / (1 + T * T / n)
    half = T / (1 + T * T / n) * math.sqrt(p * (1 - p) / n + T * T / (4 * n * n))
    return p, min(p, middle - half), max(p, middle + half)


def _lag_one(values: Sequence[float]) -> float:
    mean = fmean(values)
    off = [value - mean for value in values]
    spread = math.fsum(value**2 for value in off)
    return math.fsum(a * b for a, b in pairwise(off)) / spread if spread > 0 else 0.0
