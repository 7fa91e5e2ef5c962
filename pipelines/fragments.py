"""Parquet files cut into fragments: a few row groups of one file, small enough to hold in memory.

A fragment is what is read, scored or shuffled at once, so memory depends on its size and not on the data set's. The
cut is a function of the files' footers alone: the same files give the same fragments, on every machine.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from drillyard.core.contract import Frozen
from drillyard.core.errors import SourceError, brief
from pipelines.storage import Storage, StoredFile

FRAGMENT_BYTES = 32 * 2**20  # of uncompressed values; a row group that is larger is a fragment of its own
_FOOTERS_AT_ONCE = 16
_REMEDY = "Write it again, or take it away."


class Fragment(Frozen):
    """Consecutive row groups of a file, or the rows of them from `skip` on."""

    file: str  # name below the location
    first_group: int
    groups: int
    skip: int = 0  # rows at the start that are left out
    rows: int  # after those


@dataclass(frozen=True, kw_only=True)
class Footer:
    """What a Parquet file says of itself without being read."""

    file: StoredFile
    schema: pa.Schema
    groups: tuple[tuple[int, int], ...]  # rows and uncompressed bytes of each row group

    @property
    def rows(self) -> int:
        return sum(rows for rows, _ in self.groups)


def footers(storage: Storage) -> list[Footer]:
    """Those of all .parquet files of the location, by name. Raises SourceError: none there, or one is unreadable."""
    files = [file for file in storage.files() if storage.shown(file.name).endswith(".parquet")]
    if not files:
        raise SourceError(storage.location, "holds no .parquet file", "Name a folder, a prefix or a file that does.")
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
        return list(pool.map(lambda file: _footer(storage, file), files))


def _footer(storage: Storage, file: StoredFile) -> Footer:
    try:
        with storage.filesystem.open_input_file(storage.path(file.name)) as source:
            parquet = pq.ParquetFile(source)
            meta = parquet.metadata
            groups = [meta.row_group(index) for index in range(meta.num_row_groups)]
            sizes = tuple((group.num_rows, group.total_byte_size) for group in groups)
            return Footer(file=file, schema=parquet.schema_arrow, groups=sizes)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(storage.shown(file.name), f"cannot be read as Parquet: {brief(error)}", _REMEDY) from error


def cut_files(found: Iterable[Footer], limit_bytes: int = FRAGMENT_BYTES) -> tuple[Fragment, ...]:
    """Every row of the files in exactly one fragment, in order; fragments without rows are left out."""
    fragments = []
    for footer in found:
        for first, count in _runs([size for _, size in footer.groups], limit_bytes):
            rows = sum(rows for rows, _ in footer.groups[first : first + count])
            if rows:
                fragments.append(Fragment(file=footer.file.name, first_group=first, groups=count, rows=rows))
    return tuple(fragments)


def _runs(sizes: Sequence[int], limit: int) -> Iterator[tuple[int, int]]:
    """First index and count of the longest runs whose sum stays within the limit; one index at least."""
    first, held = 0, 0
    for index, size in enumerate(sizes):
        if index > first and held + size > limit:
            yield first, index - first
            first, held = index, 0
        held += size
    if sizes:
        yield first, len(sizes) - first


def between(fragments: Iterable[Fragment], start: int, stop: int) -> list[Fragment]:
    """The rows from `start` to before `stop`, counted over all fragments in their order."""
    found, offset = [], 0
    for fragment in fragments:
        low, high = max(start - offset, 0), min(stop - offset, fragment.rows)
        if low < high:
            found.append(fragment.model_copy(update={"skip": fragment.skip + low, "rows": high - low}))
        offset += fragment.rows
    return found


def read(
    storage: Storage, fragment: Fragment, columns: Sequence[str] | None, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """The fragment's rows in order, in batches of at most so many. Raises OSError and pyarrow's exceptions.

    A batch is decoded when it is asked for: what is worked on then still lies in the processor's cache.
    """
    groups = list(range(fragment.first_group, fragment.first_group + fragment.groups))
    wanted: Any = None if columns is None else list(columns)
    with storage.filesystem.open_input_file(storage.path(fragment.file)) as source:
        batches = pq.ParquetFile(source).iter_batches(batch_rows, row_groups=groups, columns=wanted, use_threads=False)
        yield from _between(batches, fragment.skip, fragment.skip + fragment.rows)


def _between(batches: Iterable[pa.RecordBatch], start: int, stop: int) -> Iterator[pa.RecordBatch]:
    """The rows from `start` to before `stop`."""
    offset = 0
    for batch in batches:
        low, high = max(start - offset, 0), min(stop - offset, len(batch))
        if low < high:
            yield batch.slice(low, high - low)
        offset += len(batch)
        if offset >= stop:
            return
