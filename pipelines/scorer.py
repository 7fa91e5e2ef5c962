"""Scores fragments with an ONNX graph, one part each. Ray Data runs one Scorer in each of its actors; no Ray in it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from drillyard.core.errors import brief
from pipelines import columns, fragments
from pipelines.columns import Binding, ColumnError
from pipelines.fragments import Fragment
from pipelines.graph import predictor
from pipelines.manifest import Manifest, part_name
from pipelines.storage import Storage

_THREADS = 1  # of an actor; more cores are more actors
_READ_ROWS = 8192  # in memory at once, with their scores


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that an actor needs, wherever it runs."""

    source: Storage
    output: Storage
    manifest: Manifest
    inputs: tuple[Binding, ...]
    graph: bytes  # the ONNX file


class Scorer:
    """Called with numbers of parts; answers with what became of each."""

    def __init__(self, job: Job) -> None:
        pa.set_cpu_count(_THREADS)
        self._job = job
        self._predict = predictor(job.graph, _THREADS, job.manifest.outputs)
        self._columns = [name for binding in job.inputs for name in binding.columns]
        self._columns += [name for name in job.manifest.keep if name not in self._columns]

    def __call__(self, batch: dict[str, np.ndarray[Any, Any]]) -> dict[str, list[Any]]:
        rows = [self._score(int(number)) for number in batch["part"]]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def _score(self, number: int) -> dict[str, Any]:
        """Make one part. What is wrong with data or storage is told, not raised: trying again would not help."""
        fragment, begun, reason = self._job.manifest.fragments[number], time.time(), ""
        file = self._job.source.shown(fragment.file)
        try:
            table = pa.Table.from_batches(list(self._scored(fragment)))
            if table.num_rows != fragment.rows:
                raise ColumnError(f"has {table.num_rows} of the {fragment.rows} rows that it had; it has changed")
            file = self._job.output.shown(part_name(number))
            self._job.output.put(part_name(number), partial(_write, table, self._job.manifest.keep))
        except (OSError, pa.ArrowException, ColumnError) as error:
            reason = brief(error)
        return {"rows": fragment.rows, "file": file, "reason": reason, "begun": begun, "ended": time.time()}

    def _scored(self, fragment: Fragment) -> Iterator[pa.RecordBatch]:
        for batch in fragments.read(self._job.source, fragment, self._columns, _READ_ROWS):
            scores = self._predict({each.spec.name: columns.tensor(batch, each) for each in self._job.inputs})
            yield _beside(batch.select(list(self._job.manifest.keep)), columns.batch(scores))


def _beside(left: pa.RecordBatch, right: pa.RecordBatch) -> pa.RecordBatch:
    schema = pa.schema([*left.schema, *right.schema])
    return pa.RecordBatch.from_arrays([*left.columns, *right.columns], schema=schema)


def _write(table: pa.Table, keep: Sequence[str], stream: Any) -> None:
    # Scores hardly repeat, so a dictionary of them would only cost time; so would statistics inside lists.
    flat = [field.name for field in table.schema if not pa.types.is_nested(field.type)]
    pq.write_table(table, stream, use_dictionary=list(keep), write_statistics=flat)
