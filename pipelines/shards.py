"""A data set as Parquet files that training streams: what a location holds, and the two ways across.

    dataset.json        which system and data set, its labels, and every file with its rows and bytes; written last
    fit/                what the training loop learns from, in many files; never read as a whole
    fit_validation/     for the loss curve
    train/              labelled training rows, for baselines and the card's summary; a sample of them is read
    validation/  test/  as everywhere; read as a whole

Columns have the names of the system's tensors; `truth` is what is true of a row.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from drillyard.core.contract import DatasetRef, Frozen
from drillyard.core.errors import SourceError, UsageError, brief
from pipelines import columns, fragments
from pipelines.fragments import Footer, Fragment
from pipelines.storage import Storage, reaching
from pipelines.system import Arrays, Dataset, Split, Stream

DESCRIPTION = "dataset.json"
PARTS = ("fit", "fit_validation", "train", "validation", "test")
TRUTH = "truth"
FILE_ROWS = 200_000
SAMPLE_BYTES = 16 * 2**20  # of uncompressed values
_GROUP_BYTES = 4 * 2**20  # of a row group: what readers hold at once, and shuffling mixes
_REMEDY = "Write the data set again with `drillyard data shard`."


class Description(Frozen):
    """The content of dataset.json."""

    format: Literal[1] = 1
    system: str
    ref: DatasetRef
    labels: tuple[str, ...]
    files: dict[str, tuple[int, int]]  # rows and bytes


def write(dataset: Dataset, system: str, target: Storage, *, file_rows: int = FILE_ROWS) -> Description:
    """The data set as Parquet at an empty location. Raises UsageError, SourceError."""
    if there := target.files(missing_ok=True):
        raise UsageError("target", target.location, f"an empty or new location; this one holds {there[0].name}")
    parts: dict[str, Arrays] = {"fit": dataset.fit, "fit_validation": dataset.fit_validation}
    for name, split in (("train", dataset.train), ("validation", dataset.validation), ("test", dataset.test)):
        parts[name] = {**split.inputs, TRUTH: split.truth}
    for name, arrays in parts.items():
        _write_part(name, arrays, target, file_rows)
    files = _sizes(fragments.footers(target))
    description = Description(system=system, ref=dataset.ref, labels=dataset.labels, files=files)
    target.write(DESCRIPTION, description.model_dump_json(indent=2))
    target.clean()
    return description


def load(location: str, system: str, say: Callable[[str], None] = lambda _: None) -> Dataset:
    """The data set there, its `fit` as a stream. Raises UsageError (not of this system), SourceError (not whole)."""
    storage = Storage.open("dataset", location)
    description = _description(storage)
    if description.system != system:
        raise UsageError("dataset", location, f"a data set of {system}; this one is of {description.system}")
    found = _footers(storage, description)
    stream = Stream(storage=storage, fragments=fragments.cut_files(found["fit"]))
    say(f"streaming {stream.rows:,} training rows from {len(found['fit'])} files of {location}")
    train = _split(_sample(storage, found["train"]))
    return Dataset(
        ref=description.ref,
        labels=description.labels,
        fit=_sample(storage, found["fit"]),
        stream=stream,
        fit_validation=_whole(storage, found["fit_validation"]),
        train=train,
        validation=_split(_whole(storage, found["validation"])),
        test=_split(_whole(storage, found["test"])),
    )


def _write_part(part: str, arrays: Arrays, target: Storage, file_rows: int) -> None:
    size = len(next(iter(arrays.values())))
    row_bytes = sum(values.nbytes for values in arrays.values()) / max(size, 1)
    group_rows = max(1, int(_GROUP_BYTES / max(row_bytes, 1)))
    for number, start in enumerate(range(0, size, file_rows)):
        rows = columns.batch({name: values[start : start + file_rows] for name, values in arrays.items()})
        # Pixels and labels are few different numbers, of which a dictionary is smaller; measurements are all different.
        few = all(values.dtype.kind != "f" for values in arrays.values())
        save = partial(pq.write_table, pa.Table.from_batches([rows]), row_group_size=group_rows, use_dictionary=few)
        with reaching(target.location):
            target.put(f"{part}/part-{number:05d}.parquet", save)


def _sizes(found: Iterable[Footer]) -> dict[str, tuple[int, int]]:
    """Rows and bytes of each file, by its name."""
    return {footer.file.name: (footer.rows, footer.file.size_bytes) for footer in found}


def _description(storage: Storage) -> Description:
    raw = storage.read(DESCRIPTION)
    if raw is None:
        raise SourceError(storage.location, f"holds no {DESCRIPTION}", _REMEDY)
    try:
        return Description.model_validate_json(raw)
    except ValidationError as error:
        raise SourceError(storage.shown(DESCRIPTION), f"is not valid: {brief(error)}", _REMEDY) from error


def _footers(storage: Storage, description: Description) -> dict[str, list[Footer]]:
    """By part. What is missing, new or of another size is named before training, not in the middle of it."""
    found = fragments.footers(storage)
    actual = _sizes(found)
    wrong = [
        name
        for name, size in sorted({**description.files, **actual}.items())
        if description.files.get(name) != actual.get(name)
    ]
    if wrong:
        reason = f"is not the file that {DESCRIPTION} lists ({len(wrong)} such)"
        raise SourceError(storage.shown(wrong[0]), reason, _REMEDY)
    parts = {part: [footer for footer in found if footer.file.name.startswith(f"{part}/")] for part in PARTS}
    if empty := [part for part, files in parts.items() if not any(footer.rows for footer in files)]:
        raise SourceError(storage.location, f"holds no rows in {empty[0]}/", _REMEDY)
    return parts


def _sample(storage: Storage, found: list[Footer]) -> Arrays:
    """About SAMPLE_BYTES of the rows at most: row groups from all over, or all where all are few."""
    size_bytes = sum(size for footer in found for _, size in footer.groups)
    groups = fragments.cut_files(found, limit_bytes=0)
    count = max(1, int(len(groups) * min(1.0, SAMPLE_BYTES / max(size_bytes, 1))))
    return _read(storage, [groups[len(groups) * number // count] for number in range(count)])


def _whole(storage: Storage, found: list[Footer]) -> Arrays:
    return _read(storage, fragments.cut_files(found))


def _read(storage: Storage, pieces: Iterable[Fragment]) -> Arrays:
    batches = [batch for piece in pieces for batch in fragments.read(storage, piece, None, FILE_ROWS)]
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name in batches[0].schema.names:
        arrays[name] = np.concatenate([columns.values(batch.column(name), name) for batch in batches])
    return arrays


def _split(arrays: Arrays) -> Split:
    return Split(inputs={name: values for name, values in arrays.items() if name != TRUTH}, truth=arrays[TRUTH])
