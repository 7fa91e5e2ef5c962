"""What `make bench-predict` holds `drillyard predict` against: onnxruntime in one process, a session a thread.

python -m pipelines.bench_inprocess sessions INPUT OUTPUT THREADS     rows in memory, score and decision, both dropped
python -m pipelines.bench_inprocess files INPUT OUTPUT THREADS        read from INPUT, written to OUTPUT
"""

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from drillyard.core.contract import ModelRef
from drillyard.core.settings import Settings
from pipelines import columns, registry
from pipelines.fraud.data import FEATURES
from pipelines.graph import predictor

_BATCH_ROWS = 8192


def main(words: Sequence[str]) -> None:
    what, source, output, threads = words[0], Path(words[1]), Path(words[2]), int(words[3])
    _, graph = registry.read(ModelRef.parse("fraud"), Settings.from_env(os.environ))
    pa.set_cpu_count(threads)
    files = sorted(source.glob("*.parquet"))
    work: list[Any] = [_features(pq.read_table(path)) for path in files] if what == "sessions" else list(files)
    names = ("score", "is_fraud") if what == "sessions" else ()
    predicts = [predictor(graph, 1, names) for _ in range(threads)]
    for predict in predicts:
        predict({"features": np.zeros((_BATCH_ROWS, len(FEATURES)), np.float32)})
    counts = [0] * threads

    def run(index: int) -> None:
        for item in work[index::threads]:
            if what == "sessions":
                counts[index] += _scored(predicts[index], item)
            else:
                counts[index] += _file(predicts[index], item, output / item.name)

    workers = [threading.Thread(target=run, args=(index,)) for index in range(threads)]
    started = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.stdout.write(json.dumps({"rows_per_s": sum(counts) / (time.monotonic() - started)}) + "\n")


def _features(table: pa.Table) -> np.ndarray[Any, Any]:
    return np.stack([table[name].to_numpy() for name in FEATURES], axis=1)


def _scored(predict: Any, features: np.ndarray[Any, Any]) -> int:
    for start in range(0, len(features), _BATCH_ROWS):
        predict({"features": features[start : start + _BATCH_ROWS]})
    return len(features)


def _file(predict: Any, source: Path, target: Path) -> int:
    features = _features(pq.read_table(source, columns=list(FEATURES), use_threads=False))
    pieces = [features[start : start + _BATCH_ROWS] for start in range(0, len(features), _BATCH_ROWS)]
    scores = [predict({"features": piece}) for piece in pieces]
    table = pa.Table.from_batches([columns.batch(part) for part in scores])
    pq.write_table(table, target, use_dictionary=False)
    return len(features)


if __name__ == "__main__":
    main(sys.argv[1:])
