"""A data set as Parquet: the same rows come back, and a folder that is not whole is refused before training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from drillyard.core.errors import SourceError, UsageError
from drillyard.core.settings import Settings
from pipelines import fragments, shards, system
from pipelines.storage import Storage
from pipelines.system import Dataset


def data_of(name: str) -> Dataset:
    the_system = system.get(name)
    return the_system.load(the_system.recipe("smoke").dataset, Settings.from_env({}))


def write(name: str, folder: Path, file_rows: int = 700) -> Dataset:
    data = data_of(name)
    shards.write(data, name, Storage.open("target", str(folder)), file_rows=file_rows)
    return data


@pytest.mark.parametrize("name", ["fraud", "vision"])
def test_what_is_written_is_loaded(tmp_path: Path, name: str) -> None:
    data = write(name, tmp_path / "shards")
    found = system.get(name).load(str(tmp_path / "shards"), Settings.from_env({}))
    assert (found.ref, found.labels) == (data.ref, data.labels)
    for mine, theirs in (
        (data.fit, found.fit),
        (data.fit_validation, found.fit_validation),
        *((part(data).inputs, part(found).inputs) for part in PARTS),
    ):
        assert mine.keys() == theirs.keys()
        for key in mine:
            assert mine[key].dtype == theirs[key].dtype
            np.testing.assert_array_equal(mine[key], theirs[key])
    for part in PARTS:
        np.testing.assert_array_equal(part(data).truth, part(found).truth)
        assert part(data).truth.dtype == part(found).truth.dtype
    assert found.stream is not None
    assert found.stream.rows == len(next(iter(data.fit.values())))
    assert len({fragment.file for fragment in found.stream.fragments}) > 1


PARTS: tuple[Callable[[Dataset], system.Split], ...] = (
    lambda data: data.train,
    lambda data: data.validation,
    lambda data: data.test,
)


def test_a_sample_is_bounded_and_from_all_files(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shards, "_GROUP_BYTES", 29 * 4 * 50)
    data = write("fraud", tmp_path / "shards", file_rows=400)
    whole = data.fit["features"]
    monkeypatch.setattr(shards, "SAMPLE_BYTES", whole.nbytes // 4)
    found = system.get("fraud").load(str(tmp_path / "shards"), Settings.from_env({}))
    rows = found.fit["features"]
    assert 0.1 * len(whole) < len(rows) < 0.3 * len(whole)
    places = {tuple(row): place for place, row in enumerate(whole.tolist())}
    files = {places[tuple(row)] // 400 for row in rows.tolist()}
    assert files == set(range(-(-len(whole) // 400)))
    assert found.stream is not None
    assert found.stream.rows == len(whole)


def take_a_file_away(folder: Path) -> None:
    (folder / "fit" / "part-00001.parquet").unlink()


def put_a_file_beside(folder: Path) -> None:
    (folder / "fit" / "part-00099.parquet").write_bytes((folder / "fit" / "part-00001.parquet").read_bytes())


def replace_a_file(folder: Path) -> None:
    (folder / "fit" / "part-00001.parquet").write_bytes((folder / "test" / "part-00000.parquet").read_bytes())


def die_before_the_end(folder: Path) -> None:
    (folder / shards.DESCRIPTION).unlink()


def damage_the_description(folder: Path) -> None:
    (folder / shards.DESCRIPTION).write_text("{}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (take_a_file_away, r"part-00001\.parquet: is not the file that dataset\.json lists"),
        (put_a_file_beside, r"part-00099\.parquet: is not the file that dataset\.json lists"),
        (replace_a_file, r"part-00001\.parquet: is not the file that dataset\.json lists"),
        (die_before_the_end, r"holds no dataset\.json"),
        (damage_the_description, r"dataset\.json: is not valid"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused_by_file(tmp_path: Path, change, message) -> None:
    write("fraud", tmp_path / "shards")
    change(tmp_path / "shards")
    with pytest.raises(SourceError, match=message):
        shards.load(str(tmp_path / "shards"), "fraud")


def test_another_systems_data_set_is_refused(tmp_path: Path) -> None:
    write("fraud", tmp_path / "shards")
    with pytest.raises(UsageError, match="a data set of vision; this one is of fraud"):
        shards.load(str(tmp_path / "shards"), "vision")


def test_a_target_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(UsageError, match=r"target=.*an empty or new location; this one holds mine\.txt"):
        write("fraud", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_row_groups_are_small_enough_to_be_shuffled(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shards, "_GROUP_BYTES", 29 * 4 * 100)
    write("fraud", tmp_path / "shards")
    found = fragments.footers(Storage.open("input", str(tmp_path / "shards" / "fit")))
    assert {rows for footer in found for rows, _ in footer.groups[:-1]} == {100}
