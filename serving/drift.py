"""How far live requests are from what the model was trained on: sampling, counting in the card's bins, and the index.

A few requests a second are kept (thinned and copied) and counted once a second, so that a request pays for a copy at
most. The counts decay, so that the index speaks of the last quarter of an hour and not of all time, and they are summed
over processes before the index is computed (see exposition.py), since an index of parts is not the index of the whole.
"""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np

from drillyard.core import summary
from drillyard.core.contract import Bins, ModelCard, TensorSpec
from serving.catalogue import DRIFT_BIN, DRIFT_EXPECTED, SCORE
from serving.cells import Buckets, Cell, Store
from serving.protocol.tensors import Array

ROWS_A_FLUSH = 128  # of all requests between two flushes
ROWS_A_REQUEST = 64  # so that one large request does not stand for all
FLUSH_S = 1.0
HALF_LIFE_S = 600.0  # after which a counted row weighs half
SMALLEST_SHARE = 1e-4  # a bin that was empty in training must not make the index infinite


def stability_index(expected: Sequence[float], counts: Sequence[float]) -> float:
    """Population stability index: the sum over bins of (found - expected) * ln(found / expected), from shares.

    Half a row is added to each bin's count, since an empty one says little when few rows were seen. Without any drift
    the index is still about (bins - 1) / rows. Source: Siddiqi (2006), Credit Risk Scorecards, section on scorecard
    stability, whose reading is: below 0.1 no change, above 0.25 a large one.
    """
    total = sum(counts) + 0.5 * len(counts)
    index = 0.0
    for share, count in zip(expected, counts, strict=True):
        wanted, found = max(share, SMALLEST_SHARE), (count + 0.5) / total
        index += (found - wanted) * math.log(found / wanted)
    return index


class DriftWatch:
    """Counts one model version's live rows in its card's bins. Called on the event loop's thread only.

    A card without a summary (of an older export) is not watched.
    """

    def __init__(self, store: Store, card: ModelCard) -> None:
        labels = {"model": card.name, "version": str(card.version)}
        known = {bins.feature: bins for bins in card.summary.inputs} if card.summary else {}
        self._inputs: dict[str, list[_Counted | None]] = {}  # by tensor, in the order of `summary.columns`
        for spec in card.inputs:
            found = [known.get(name) for name in summary.features(spec, card.labels)]
            if any(found):
                self._inputs[spec.name] = [_Counted(store, bins, labels) if bins else None for bins in found]
        self._specs = {spec.name: spec for spec in card.inputs}
        self._score: tuple[TensorSpec, _Counted, Buckets] | None = None
        score = summary.score(card.outputs)
        if score is not None and card.summary is not None and (bins := card.summary.score) is not None:
            edges = store.buckets(SCORE, labels, bins.edges)
            self._score = score, _Counted(store, bins, {**labels, "kind": "score"}), edges
        self._kept: list[tuple[str, Array]] = []  # tensor name, rows
        self._rows = 0
        self._flushed = time.monotonic()

    def observe(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        """A request was answered; keep a few of its rows when there is room for them."""
        if self._rows >= ROWS_A_FLUSH or not self._inputs:
            return
        rows = len(next(iter(inputs.values())))
        step = -(-rows // ROWS_A_REQUEST)  # evenly over the request
        for name in self._inputs:
            self._kept.append((name, summary.thinned(self._specs[name], inputs[name][::step]).copy()))
        if self._score is not None and (name := self._score[0].name) in outputs:
            self._kept.append((name, outputs[name][::step].copy()))
        if self._rows == 0:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        self._rows += -(-rows // step)

    def clear(self) -> None:
        """Take what was counted back."""
        self._kept.clear()
        self._rows = 0
        for counted in (*chain.from_iterable(self._inputs.values()), self._score[1] if self._score else None):
            if counted is not None:
                counted.clear()

    def flush(self) -> None:
        """Count what was kept; what was counted before weighs less by the time that went by."""
        if not self._kept:
            return
        now = time.monotonic()
        decay = 0.5 ** ((now - self._flushed) / HALF_LIFE_S)
        kept, self._kept, self._rows, self._flushed = self._kept, [], 0, now
        for name, counters in self._inputs.items():
            pieces = [summary.columns(self._specs[name], rows) for rows in _joined(kept, name)]
            for counter, column in zip(counters, zip(*pieces, strict=True), strict=True):
                if counter is not None:
                    counter.add(np.concatenate(column), decay)
        if self._score is not None:
            spec, counted, edges = self._score
            for rows in _joined(kept, spec.name):  # one piece: an answer's shape is fixed
                values = summary.score_column(spec, rows)
                edges.add(counted.add(values, decay), float(values.sum()))


def _joined(kept: list[tuple[str, Array]], name: str) -> list[Array]:
    """The rows of one tensor, those of equal shape in one array: a few large calls cost less than many small ones."""
    by_shape: dict[tuple[int, ...], list[Array]] = {}
    for tensor, rows in kept:
        if tensor == name:
            by_shape.setdefault(rows.shape[1:], []).append(rows)
    return [np.concatenate(rows) for rows in by_shape.values()]


class _Counted:
    """The bins of one feature: how many rows fell into each, older ones weighing less."""

    def __init__(self, store: Store, bins: Bins, labels: Mapping[str, str]) -> None:
        named = [
            {"kind": "input", **labels, "feature": bins.feature, "bin": f"{i:02d}"} for i in range(len(bins.shares))
        ]
        self._edges = np.array(bins.edges)
        self._cells: list[Cell] = [store.cell(DRIFT_BIN, each) for each in named]
        for each, share in zip(named, bins.shares, strict=True):
            store.cell(DRIFT_EXPECTED, each).set(share)

    def clear(self) -> None:
        for cell in self._cells:
            cell.set(0.0)

    def add(self, values: Array, decay: float) -> list[int]:
        """Count them; how many fell into each bin."""
        places = np.searchsorted(self._edges, values, side="left")
        counts: list[int] = np.bincount(places, minlength=len(self._cells)).tolist()
        for cell, count in zip(self._cells, counts, strict=True):
            cell.set(cell.get() * decay + count)
        return counts
