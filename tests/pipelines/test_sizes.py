"""What networks are before training, and what parts of the training loop give."""

from pathlib import Path

import pytest

from pipelines import bench_parts, sizes, system
from pipelines.fraud.data import FEATURES, synthetic


def test_weights_and_arithmetic_are_those_of_the_layers() -> None:
    recipe = system.get("fraud").recipe("smoke")
    members, hidden, code = recipe.model.members, recipe.model.hidden, recipe.model.code
    width = len(FEATURES)
    matrices = members * 2 * (width * hidden + hidden * code)
    biases = members * (2 * hidden + code + width)
    assert sizes.parameters(recipe, FEATURES) == matrices + biases
    row = {"features": synthetic().features[:1]}
    assert sizes.multiply_adds(recipe, FEATURES, row) == matrices + width * width  # and the whitening of the residual


def test_a_graph_costs_as_much_as_itself(tmp_path: Path) -> None:
    rows = {"features": synthetic().features}
    path = sizes.export_untrained(system.get("fraud").recipe("smoke"), FEATURES, rows, tmp_path)
    part = {"features": rows["features"][:64]}
    ratios = sizes.cpu_ratios((path, part), (path, part), rounds=2)
    assert len(ratios) == 2
    assert 0.2 < min(ratios) <= max(ratios) < 5


def test_parts_are_weighed_within_their_rounds() -> None:
    found = bench_parts.ratios({"all": [10.0, 100.0, 10.0], "bf16": [5.0, 60.0, 4.0]})
    assert found == {"bf16": pytest.approx({"median": 0.5, "low": 0.4, "high": 0.6, "n": 3})}


def test_each_contender_lacks_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(
        bench_parts, "under_torchrun", lambda job, allocator, workers=2: calls.append((job, allocator, workers)) or 1.0
    )
    job = bench_parts.Job(
        system="vision",
        recipe="base",
        dataset="fashion-mnist",
        rows=10,
        epochs=2,
        precision="bf16",
        channels_last=True,
    )
    for run in bench_parts.contenders(job).values():
        run()
    whole = calls[0]
    assert whole == (job, bench_parts.KEEP_MEMORY, 2)
    differences = [sum(a != b for a, b in zip(call, whole, strict=True)) for call in calls]
    assert differences == [0, 1, 1, 1, 1, 1]
    assert calls[-1][0].made().train.batch_size == job.made().train.batch_size // 4
