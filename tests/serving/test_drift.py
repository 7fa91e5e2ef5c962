"""Live rows against the card's bins: counted, forgotten, merged, and turned into an index."""

import asyncio
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drillyard.core.contract import ModelCard, Summary
from serving import drift
from serving.drift import ROWS_A_FLUSH, ROWS_A_REQUEST, stability_index
from serving.exposition import merged
from serving.metrics import ModelMetrics
from tests.serving.conftest import exposed
from tests.support.tiny_models import FEATURES, deciles

SHARES = st.lists(st.floats(0.01, 1), min_size=2, max_size=12).map(lambda raw: [x / sum(raw) for x in raw])


@settings(derandomize=True, max_examples=50, deadline=None)
@given(shares=SHARES, rows=st.integers(1000, 10**6))
def test_no_drift_is_almost_zero_and_any_other_distribution_is_more(shares: list[float], rows: int) -> None:
    same = stability_index(shares, [share * rows for share in shares])
    moved = stability_index(shares, [rows, *[0.0] * (len(shares) - 1)])
    assert 0 <= same < 0.01
    assert moved > same


def test_the_index_is_the_textbook_sum() -> None:
    counts = [49_999.5, 29_999.5, 19_999.5]  # half a row is added to each
    expected = sum((f - e) * math.log(f / e) for f, e in zip((0.5, 0.3, 0.2), (0.2, 0.3, 0.5), strict=True))
    assert stability_index([0.2, 0.3, 0.5], counts) == pytest.approx(expected, abs=1e-4)


def features(rows: int, seed: int = 0, scale: float = 1.0) -> Any:
    """As tiny_models draws them: half of the rows ten times as wide."""
    values = np.random.default_rng(seed).normal(size=(rows, 29)).astype(np.float32) * scale
    values[::2] *= 10
    return values


def feed(counting: ModelMetrics, card: ModelCard, rows: Any, rows_a_request: int) -> None:
    """Send rows as requests through the watch, flushing whenever it is full."""

    async def send() -> None:
        watch = counting.drift(card)
        for i in range(0, len(rows), rows_a_request):
            part = rows[i : i + rows_a_request]
            watch.observe({"features": part}, {"score": np.abs(part).sum(axis=1)})
            if (i // rows_a_request) % (ROWS_A_FLUSH // min(rows_a_request, ROWS_A_REQUEST)) == 0:
                watch.flush()
        watch.flush()

    asyncio.run(send())


@pytest.fixture(scope="module")
def card(cards: dict[str, ModelCard]) -> ModelCard:
    """With deciles of many rows, so that what they are off by is not taken for drift."""
    many = features(5000, seed=9)
    inputs = tuple(deciles(name, column) for name, column in zip(FEATURES, many.T, strict=True))
    summary = Summary(inputs=inputs, score=deciles("score", np.abs(many).sum(axis=1)))
    return cards["fraud"].model_copy(update={"summary": summary})


@pytest.mark.parametrize("rows_a_request", [1, 16])
def test_the_same_rows_do_not_drift_and_others_do(tmp_path: Path, card: ModelCard, rows_a_request: int) -> None:
    counting = ModelMetrics(tmp_path, "fraud", 1)
    feed(counting, card, features(4000), rows_a_request)
    quiet = exposed(tmp_path)
    assert quiet["drillyard_drift_rows", "fraud", "1"] == pytest.approx(4000, rel=0.01)
    assert quiet["drillyard_input_drift_psi", "V3", "fraud", "1"] < 0.02
    assert quiet["drillyard_score_drift_psi", "fraud", "score", "1"] < 0.02
    moved = features(8000, seed=1)
    moved[:, 2] += 20.0
    feed(counting, card, moved, rows_a_request)
    loud = exposed(tmp_path)
    assert loud["drillyard_input_drift_psi", "V3", "fraud", "1"] > 1.0
    assert loud["drillyard_input_drift_psi", "V4", "fraud", "1"] < 0.02
    assert loud["drillyard_score_drift_psi", "fraud", "score", "1"] > 0.02
    assert loud["drillyard_score_count", "fraud", "1"] == 12_000


def test_few_rows_make_no_index_but_are_told(tmp_path: Path, card: ModelCard) -> None:
    feed(ModelMetrics(tmp_path, "fraud", 1), card, features(100), 10)
    found = exposed(tmp_path)
    assert found["drillyard_drift_rows", "fraud", "1"] == pytest.approx(100, rel=0.01)
    assert not any(name == "drillyard_input_drift_psi" for name, *_ in found)


def test_a_bin_counts_what_the_card_says_it_holds(tmp_path: Path, card: ModelCard) -> None:
    """A value that is itself an edge belongs to the bin below it, as on the card."""
    assert card.summary is not None
    edges = card.summary.inputs[0].edges
    rows = np.zeros((2, 29), dtype=np.float64)
    rows[:, 0] = edges[4], np.nextafter(edges[4], np.inf)
    counting = ModelMetrics(tmp_path, "fraud", 1)
    feed(counting, card, rows, 2)
    cells = [cell.get() for cell in counting.drift(card)._inputs["features"][0]._cells]  # type: ignore[union-attr]
    assert [i for i, count in enumerate(cells) if count] == [4, 5]


def test_old_rows_weigh_less(tmp_path: Path, card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(drift.time, "monotonic", lambda: clock[0])
    counting = ModelMetrics(tmp_path, "fraud", 1)
    feed(counting, card, features(64), 64)
    clock[0] += drift.HALF_LIFE_S
    feed(counting, card, features(64), 64)
    assert exposed(tmp_path)["drillyard_drift_rows", "fraud", "1"] == pytest.approx(64 + 32)


def test_a_version_that_is_not_served_any_more_has_no_index(tmp_path: Path, card: ModelCard) -> None:
    counting = ModelMetrics(tmp_path, "fraud", 1)
    newer = card.model_copy(update={"version": 2})
    for each in (card, newer):
        feed(counting, each, features(1000), 16)
    counting.forget([2])
    found = exposed(tmp_path)
    assert not any(name == "drillyard_input_drift_psi" and version == "1" for name, *_, version in found)
    assert found["drillyard_drift_rows", "fraud", "2"] > 500
    assert "drillyard_drift_rows" not in [name for name, *_, version in found if version == "1"]
    feed(counting, card, features(1000), 16)
    assert exposed(tmp_path)["drillyard_drift_rows", "fraud", "1"] > 500, "it may come back"


def test_a_sample_is_bounded_in_rows_and_memory(tmp_path: Path, cards: dict[str, ModelCard]) -> None:
    watch = ModelMetrics(tmp_path, "vision", 1).drift(cards["vision"])

    async def send() -> None:
        for _ in range(1000):
            watch.observe(
                {"image": np.zeros((100, 200, 200, 3), np.uint8)}, {"scores": np.zeros((100, 10), np.float32)}
            )

    asyncio.run(send())
    assert sum(rows.nbytes for _, rows in watch._kept) < 1.5 * ROWS_A_FLUSH * 16 * 16 * 3
    assert all(rows.base is None for _, rows in watch._kept), "a view would keep the whole request alive"


def test_it_counts_by_itself_a_second_later(tmp_path: Path, card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "FLUSH_S", 0.01)

    async def send() -> None:
        rows = features(8)
        ModelMetrics(tmp_path, "fraud", 1).drift(card).observe({"features": rows}, {})
        await asyncio.sleep(0.1)

    asyncio.run(send())
    assert exposed(tmp_path)["drillyard_drift_rows", "fraud", "1"] == 8.0


def test_a_card_without_a_summary_is_served_and_not_watched(tmp_path: Path, card: ModelCard) -> None:
    older = card.model_copy(update={"summary": None})
    feed(ModelMetrics(tmp_path, "fraud", 1), older, features(1000), 10)
    assert not [name for name, *_ in exposed(tmp_path) if "drift" in name or "score" in name]


HALF = """
import asyncio, pathlib, sys, numpy as np
from drillyard.core.contract import ModelCard
from serving.metrics import ModelMetrics
folder, card = pathlib.Path(sys.argv[1]), ModelCard.model_validate_json(pathlib.Path(sys.argv[2]).read_bytes())
rows = np.load(sys.argv[3])
async def main():
    watch = ModelMetrics(folder, "fraud", 1).drift(card)
    for i in range(0, len(rows), 50):
        watch.observe({"features": rows[i:i + 50]}, {})
        watch.flush()
asyncio.run(main())
print(flush=True)
sys.stdin.read()
"""


def test_the_index_is_of_all_processes_together(tmp_path: Path, card: ModelCard) -> None:
    """Each of two processes sees one half of V1's values: apart each has drifted, together they have not."""
    (tmp_path / "card.json").write_text(card.model_dump_json())
    rows = features(2000, seed=3)
    rows = rows[np.argsort(rows[:, 0])]
    running = []
    for half, part in (("low", rows[:1000]), ("high", rows[1000:])):
        np.save(tmp_path / f"{half}.npy", part)
        command = [sys.executable, "-c", HALF, *(str(tmp_path / x) for x in ("metrics", "card.json", f"{half}.npy"))]
        running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert running[-1].stdout is not None
        running[-1].stdout.readline()
        index = exposed(tmp_path / "metrics")["drillyard_input_drift_psi", "V1", "fraud", "1"]
        assert (index < 0.02) == (half == "high"), index
    for child in running:
        child.communicate(timeout=20)
    assert not [family for family in merged(tmp_path / "metrics") if "drift" in family.name], "both have ended"
