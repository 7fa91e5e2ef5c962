"""What fraud and reviews cost, and the threshold that costs least.

A missed fraud costs its amount; every flagged transaction costs one review, whether or not it is fraud.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

REVIEW_FEE = 5.0  # in the currency of the amounts (euro): some minutes of an analyst's time


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Money lost by one way of deciding."""

    missed: float  # amounts of frauds that were let pass
    reviews: float

    @property
    def total(self) -> float:
        return self.missed + self.reviews


def cost(flagged: Array, is_fraud: Array, amount: Array) -> Cost:
    """What the decisions cost."""
    return Cost(missed=float(amount[is_fraud & ~flagged].sum()), reviews=REVIEW_FEE * float(flagged.sum()))


def saved(flagged: Array, is_fraud: Array, amount: Array) -> float:
    """Share of the whole loss without any system that the decisions save; negative when reviews cost more."""
    nothing = cost(np.zeros_like(flagged), is_fraud, amount).total
    return 1 - cost(flagged, is_fraud, amount).total / nothing if nothing else 0.0


def cheapest_threshold(score: Array, is_fraud: Array, amount: Array) -> float:
    """The threshold (flag when score > threshold) of least cost, half way between the two scores that it separates."""
    order = np.argsort(-score, kind="stable")
    missed = amount[is_fraud].sum() - np.cumsum(np.where(is_fraud[order], amount[order], 0.0))
    totals = np.concatenate(([amount[is_fraud].sum()], missed + REVIEW_FEE * np.arange(1, len(score) + 1)))
    best = int(np.argmin(totals))  # flag the `best` highest
    ranked = score[order]
    if best == 0:
        return float(ranked[0])
    if best == len(ranked):
        return float(np.nextafter(ranked[-1], -np.inf))
    return float((ranked[best - 1] + ranked[best]) / 2)
