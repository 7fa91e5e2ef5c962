"""Batch prediction without Ray: what a folder of scores may become, and that a run which died goes on exactly."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from drillyard.core.contract import ModelCard, ModelRef
from drillyard.core.errors import SourceError, UsageError
from drillyard.core.settings import Settings
from pipelines import manifest, predict, registry
from pipelines.predict import Plan, Request
from pipelines.scorer import Scorer
from pipelines.storage import Storage
from tests.support import tiny_models
from tests.support.tiny_models import FEATURES

FILES, FILE_ROWS = 4, 50
Planner = Callable[..., Plan]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[int, tuple[ModelCard, bytes]]:
    folder = tmp_path_factory.mktemp("models")
    cards = {1: tiny_models.write_fraud(folder / "1"), 2: tiny_models.write_fraud(folder / "2", 2, threshold=0.1)}
    return {version: (card, (folder / str(version) / "model.onnx").read_bytes()) for version, card in cards.items()}


@pytest.fixture
def planner(models, settings: Settings, monkeypatch) -> Planner:
    """`predict.plan` with the tiny models in the registry's place."""
    monkeypatch.setattr(registry, "read", lambda ref, settings: models[ref.version or 1])

    def plan(source: Path, output: Path, *, version: int = 1, keep: tuple[str, ...] = ("id",), **more: Any) -> Plan:
        ref = ModelRef(name="fraud", version=version)
        return predict.plan(Request(model=ref, source=str(source), output=str(output), keep=keep, **more), settings)

    return plan


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "input"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(FILES):
        write_file(folder / f"{number}.parquet", np.arange(FILE_ROWS) + number * FILE_ROWS, rng)
    return folder


def write_file(path: Path, ids: np.ndarray, rng: np.random.Generator) -> None:
    features = {name: rng.normal(size=len(ids)) for name in FEATURES}
    pq.write_table(pa.table({"id": ids, **features}), path)


def score(planned: Plan, numbers: list[int]) -> list[str]:
    """As an actor would; the reasons why parts could not be made."""
    return Scorer(planned.job)({"part": np.array(numbers)})["reason"] if numbers else []


def scored_ids(output: Path) -> list[int]:
    return [row for path in sorted(output.glob("*.parquet")) for row in pq.read_table(path)["id"].to_pylist()]


def test_scores_stand_beside_what_is_kept_and_are_the_models(planner, source, tmp_path) -> None:
    planned = planner(source, tmp_path / "out", keep=("id", "Amount"))
    assert score(planned, list(planned.todo)) == [""] * FILES
    predict.score(planner(source, tmp_path / "out", keep=("id", "Amount")), workers=0)
    assert (tmp_path / "out" / manifest.SUCCESS).exists()
    assert not (tmp_path / "out" / "_temporary").exists()
    inputs, found = pq.read_table(source), pq.read_table(tmp_path / "out")
    assert found.column_names == ["id", "Amount", "score", "is_fraud", "reasons"]
    features = np.stack([inputs[name].to_numpy() for name in FEATURES], axis=1).astype(np.float32)
    expected_score, expected_flag, reasons = tiny_models.expected_fraud(features)
    np.testing.assert_allclose(found["score"].to_numpy(), expected_score, rtol=1e-5)
    np.testing.assert_array_equal(found["is_fraud"].to_numpy(), expected_flag)
    np.testing.assert_allclose(np.array(found["reasons"].to_pylist()), reasons, rtol=1e-4, atol=1e-7)
    assert found["id"].to_pylist() == list(range(FILES * FILE_ROWS))


@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=st.lists(st.sets(st.integers(0, FILES - 1)), max_size=4))
def test_runs_that_die_anywhere_leave_every_row_once(planner, source, tmp_path_factory, runs) -> None:
    """Each run makes some of the parts that are missing, in the middle of another, and dies; the last one ends."""
    output = tmp_path_factory.mktemp("out")
    for made in runs:
        planned = planner(source, output)
        score(planned, sorted(made & set(planned.todo)))
        (output / "_temporary").mkdir(exist_ok=True)
        (output / "_temporary" / "half").write_bytes(b"PAR1")
    left = planner(source, output)
    assert set(left.todo) == set(range(FILES)) - set().union(*runs)
    score(left, list(left.todo))
    predict.score(planner(source, output), workers=0)
    assert scored_ids(output) == list(range(FILES * FILE_ROWS))
    assert not (output / "_temporary").exists()


def test_a_part_that_is_there_is_not_made_again_and_one_made_twice_replaces_itself(planner, source, tmp_path) -> None:
    first = planner(source, tmp_path / "out")
    score(first, [1])
    before = (tmp_path / "out" / manifest.part_name(1)).read_bytes()
    again = planner(source, tmp_path / "out")
    assert again.todo == (0, 2, 3)
    assert again.rows_todo == 3 * FILE_ROWS
    score(again, [0, 1, 2, 3])  # 1 by an actor that was thought dead
    assert (tmp_path / "out" / manifest.part_name(1)).read_bytes() == before
    assert scored_ids(tmp_path / "out") == list(range(FILES * FILE_ROWS))


def another_version(planner: Planner, source: Path, output: Path) -> None:
    planner(source, output, version=2)


def another_input(planner: Planner, source: Path, output: Path) -> None:
    other = source.parent / "other"
    other.mkdir()
    write_file(other / "0.parquet", np.arange(3), np.random.default_rng(1))
    planner(other, output)


def other_outputs(planner: Planner, source: Path, output: Path) -> None:
    planner(source, output, outputs=("score",))


def other_columns(planner: Planner, source: Path, output: Path) -> None:
    planner(source, output, keep=())


def a_new_file(planner: Planner, source: Path, output: Path) -> None:
    write_file(source / "9.parquet", np.arange(3), np.random.default_rng(1))
    planner(source, output)


def a_replaced_file(planner: Planner, source: Path, output: Path) -> None:
    os.utime(source / "2.parquet", (1, 1))
    planner(source, output)


def a_strange_file(planner: Planner, source: Path, output: Path) -> None:
    (output / "notes.txt").write_text("mine")
    planner(source, output)


def a_damaged_manifest(planner: Planner, source: Path, output: Path) -> None:
    (output / manifest.MANIFEST).write_text("{}")
    planner(source, output)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (another_version, r"a location for fraud/2 .*has scores of fraud/1 .*go on with fraud/1"),
        (another_input, r"a location for the input .*other; this one has scores of .*input"),
        (other_columns, r"the columns that its parts have: id, score, is_fraud, reasons"),
        (other_outputs, r"the columns that its parts have: id, score, is_fraud, reasons"),
        (a_new_file, r"9\.parquet has changed since"),
        (a_replaced_file, r"2\.parquet has changed since"),
        (a_strange_file, r"parts of one run only; this one holds .*notes\.txt"),
        (a_damaged_manifest, r"_manifest\.json drillyard wrote"),
    ],
)
def test_an_output_that_is_of_something_else_is_refused_and_left_alone(
    planner, source, tmp_path, change, message
) -> None:
    output = tmp_path / "out"
    score(planner(source, output), [0])
    with pytest.raises(UsageError, match=f"output='.*out' is not valid; expected .*{message}"):
        change(planner, source, output)
    assert len(list(output.glob("*.parquet"))) == 1


def test_an_output_that_is_not_empty_and_not_ours_is_refused(planner, source, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-00000.parquet").write_bytes(b"someone's")
    with pytest.raises(UsageError, match=r"expected an empty or new location; this one holds .*part-00000\.parquet"):
        planner(source, tmp_path / "out")


@pytest.mark.parametrize("name", ["", "sub", "../input/sub"])
def test_an_output_in_the_input_is_refused(planner, source, name) -> None:
    with pytest.raises(UsageError, match="a location outside the input"):
        planner(source, source / name)


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (("nosuch",), r"keep='nosuch' is not valid; expected a column of .*0\.parquet: id, V1"),
        (("score",), "keep='score' is not valid; expected a column with another name than the scores"),
    ],
)
def test_columns_to_keep_are_checked_before_anything_is_scored(planner, source, tmp_path, keep, message) -> None:
    with pytest.raises(UsageError, match=message):
        planner(source, tmp_path / "out", keep=keep)
    assert not (tmp_path / "out").exists()


def test_some_outputs_are_written_alone(planner, source, tmp_path) -> None:
    planned = planner(source, tmp_path / "out", outputs=("is_fraud", "score"), keep=())
    assert score(planned, [0]) == [""]
    found = pq.read_table(tmp_path / "out")
    assert found.column_names == ["score", "is_fraud"]
    inputs = pq.read_table(source / "0.parquet")
    features = np.stack([inputs[name].to_numpy() for name in FEATURES], axis=1).astype(np.float32)
    np.testing.assert_allclose(found["score"].to_numpy(), tiny_models.expected_fraud(features)[0], rtol=1e-5)


def test_an_output_that_the_model_lacks_is_refused(planner, source, tmp_path) -> None:
    with pytest.raises(UsageError, match="outputs='shares' is not valid; expected an output of fraud: score, is_fraud"):
        planner(source, tmp_path / "out", outputs=("shares",))


def test_an_input_without_the_models_columns_is_refused_by_file(planner, source, tmp_path) -> None:
    pq.write_table(pa.table({"id": [1], "V1": [1.0]}), source / "5.parquet")
    with pytest.raises(UsageError, match=r"input='.*5\.parquet' is not valid; .*missing: V2, V3"):
        planner(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_hold_the_input_in_several_ways_are_refused(planner, source, tmp_path) -> None:
    pq.write_table(pa.table({"id": [1], "features": [[0.0] * len(FEATURES)]}), source / "5.parquet")
    with pytest.raises(UsageError, match="files with the same columns"):
        planner(source, tmp_path / "out")


def test_an_input_without_rows_is_refused(planner, tmp_path) -> None:
    (tmp_path / "input").mkdir()
    write_file(tmp_path / "input" / "0.parquet", np.arange(0), np.random.default_rng(0))
    with pytest.raises(UsageError, match="files that hold rows"):
        planner(tmp_path / "input", tmp_path / "out")


def test_damage_that_only_reading_shows_names_the_file_and_leaves_no_part(planner, source, tmp_path) -> None:
    raw = bytearray((source / "1.parquet").read_bytes())
    raw[40:4000] = bytes(len(raw[40:4000]))
    planned_before = (source / "1.parquet").stat()
    (source / "1.parquet").write_bytes(raw)
    os.utime(source / "1.parquet", ns=(planned_before.st_atime_ns, planned_before.st_mtime_ns))
    planned = planner(source, tmp_path / "out")
    answer = Scorer(planned.job)({"part": np.array([0, 1])})
    assert answer["reason"][0] == ""
    assert answer["reason"][1] != ""
    assert answer["file"][1].endswith("1.parquet")
    assert [path.name for path in (tmp_path / "out").glob("*.parquet")] == [manifest.part_name(0)]


def test_an_output_that_cannot_be_written_any_more_is_named(planner, source, tmp_path) -> None:
    planned = planner(source, tmp_path / "out")
    (tmp_path / "out" / "_temporary").rmdir()
    (tmp_path / "out" / "_temporary").touch()  # a file where the folder should be: nothing can be made in it
    answer = Scorer(planned.job)({"part": np.array([0])})
    assert answer["file"] == [str(tmp_path / "out" / manifest.part_name(0))]
    assert answer["reason"] != [""]


def test_nulls_are_told_with_their_column(planner, source, tmp_path) -> None:
    table = pq.read_table(source / "0.parquet")
    index = table.column_names.index("V3")
    pq.write_table(table.set_column(index, "V3", pa.array([None] + [1.0] * (FILE_ROWS - 1))), source / "0.parquet")
    assert score(planner(source, tmp_path / "out"), [0]) == ["column V3 has 1 nulls in 50 rows"]


@pytest.mark.parametrize("location", ["gs://bucket/x", "http://host/x", ""])
def test_other_stores_are_refused_by_name(location) -> None:
    with pytest.raises(UsageError, match=r"input=.* is not valid; expected a path, or s3://BUCKET/PREFIX"):
        Storage.open("input", location)


def test_an_unwritable_output_is_one_error(planner, source) -> None:
    with pytest.raises(SourceError, match="/proc/nowhere"):
        planner(source, Path("/proc/nowhere/out"))
