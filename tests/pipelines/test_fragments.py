"""Fragments: every row of every file in exactly one, however files and workers are cut."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drillyard.core.errors import SourceError
from pipelines import fragments, streaming
from pipelines.fragments import Footer, Fragment
from pipelines.storage import Storage, StoredFile

GROUPS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 100)), max_size=8)  # rows and bytes of row groups
FILES = st.lists(GROUPS, min_size=1, max_size=6)


def footer(number: int, groups: list[tuple[int, int]]) -> Footer:
    file = StoredFile(name=f"{number:03}.parquet", size_bytes=1, modified="")
    return Footer(file=file, schema=pa.schema([]), groups=tuple(groups))


def rows_of(pieces: list[Fragment] | tuple[Fragment, ...], files: list[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """File and row number in it of every row that the fragments stand for, in their order."""
    found = []
    for piece in pieces:
        number = int(piece.file[:3])
        start = sum(rows for rows, _ in files[number][: piece.first_group]) + piece.skip
        found += [(number, start + row) for row in range(piece.rows)]
    return found


def all_rows(files: list[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    return [(number, row) for number, groups in enumerate(files) for row in range(sum(rows for rows, _ in groups))]


@given(files=FILES, limit=st.integers(1, 300))
def test_every_row_is_in_exactly_one_fragment(files, limit) -> None:
    cut = fragments.cut_files([footer(number, groups) for number, groups in enumerate(files)], limit)
    assert rows_of(cut, files) == all_rows(files)
    for piece in cut:
        sizes = [size for _, size in files[int(piece.file[:3])][piece.first_group :][: piece.groups]]
        assert len(sizes) == 1 or sum(sizes) <= limit


@given(files=FILES, workers=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_workers_have_equal_parts_without_a_row_in_common(files, workers, seed) -> None:
    whole = fragments.cut_files([footer(number, groups) for number, groups in enumerate(files)], 60)
    parts = [rows_of(streaming.share(whole, seed, rank, workers), files) for rank in range(workers)]
    together = [row for part in parts for row in part]
    assert len(set(together)) == len(together)
    assert set(together) <= set(all_rows(files))
    assert {len(part) for part in parts} == {len(all_rows(files)) // workers}


@given(
    sizes=st.lists(st.integers(1, 30), max_size=20),
    batch_rows=st.integers(1, 12),
    pool_rows=st.integers(0, 60),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_pool_gives_every_row_once_in_whole_batches(sizes, batch_rows, pool_rows, seed) -> None:
    rows = np.arange(sum(sizes))
    blocks = [{"id": part, "twice": 2 * part} for part in np.split(rows, np.cumsum(sizes)[:-1])] if sizes else []
    pool_rows = max(pool_rows, 2 * batch_rows)
    batches = list(streaming.mixed(blocks, batch_rows, pool_rows, np.random.default_rng(seed)))
    assert [len(batch["id"]) for batch in batches[:-1]] == [batch_rows] * (len(batches) - 1)
    found = [row for batch in batches for row in batch["id"].tolist()]
    assert sorted(found) == rows.tolist()
    assert all((batch["twice"] == 2 * batch["id"]).all() for batch in batches)


def test_a_pool_mixes_rows_of_several_blocks() -> None:
    blocks = [{"id": np.arange(start, start + 100)} for start in range(0, 1000, 100)]
    batches = list(streaming.mixed(blocks, 50, 400, np.random.default_rng(0)))
    assert min(len(set((batch["id"] // 100).tolist())) for batch in batches[:-1]) >= 3


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    start=st.integers(0, 40),
    length=st.integers(1, 40),
    batch_rows=st.integers(1, 12),
)
def test_reading_fragments_gives_their_rows_in_order(tmp_path_factory, sizes, start, length, batch_rows) -> None:
    folder = tmp_path_factory.mktemp("parquet")
    schema = pa.schema([("id", pa.int64())])
    with pq.ParquetWriter(folder / "a.parquet", schema) as writer:
        for first, size in zip(np.cumsum([0, *sizes]), sizes, strict=False):
            writer.write_table(pa.table({"id": np.arange(first, first + size)}, schema))
    storage = Storage.open("input", str(folder))
    whole = fragments.cut_files(fragments.footers(storage), limit_bytes=200)
    pieces = fragments.between(whole, start, start + length)
    batches = [batch for piece in pieces for batch in fragments.read(storage, piece, ["id"], batch_rows)]
    found = [row for batch in batches for row in batch.column("id").to_pylist()]
    assert found == list(range(sum(sizes)))[start : start + length]


def test_a_single_file_is_a_location_too(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2]}), tmp_path / "a.parquet")
    storage = Storage.open("input", str(tmp_path / "a.parquet"))
    (piece,) = fragments.cut_files(fragments.footers(storage))
    assert [batch.num_rows for batch in fragments.read(storage, piece, None, 10)] == [2]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no .parquet file"),
        ({"notes.txt": b"x"}, "holds no .parquet file"),
        ({"_temporary/a.parquet": b"x"}, "holds no .parquet file"),
        ({"a.parquet": b"PAR1 and then nothing of the kind"}, "a.parquet: cannot be read as Parquet"),
        ({"a.parquet": b""}, "a.parquet: cannot be read as Parquet"),
    ],
)
def test_what_is_no_parquet_is_named(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        fragments.footers(Storage.open("input", str(tmp_path)))


def test_a_location_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        fragments.footers(Storage.open("input", str(tmp_path / "nowhere")))
