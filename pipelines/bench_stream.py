"""Training from files through a small object store; a part of `make bench-predict`.

python -m pipelines.bench_stream write FOLDER ROWS             rows of noise as a sharded data set
python -m pipelines.bench_stream train FOLDER STORE_BYTES      one epoch of fraud's single network; prints what it took
"""

import json
import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from drillyard.core.settings import Settings
from pipelines import shards, system
from pipelines.storage import Storage

WORKERS = 2
_SEED = 0
_LOOK_S = 0.5


def write(folder: str, rows: int) -> None:
    """fraud's synthetic data set, its training rows replaced by so many rows of noise."""
    data = system.get("fraud").load("synthetic-transactions", Settings.from_env(os.environ))
    width = data.fit["features"].shape[1]
    noise = np.random.default_rng(_SEED).standard_normal((rows, width), dtype=np.float32)
    shards.write(replace(data, fit={"features": noise}), "fraud", Storage.open("target", folder))


def train(folder: str, store_bytes: int) -> dict[str, Any]:
    """One epoch on WORKERS workers, the object store capped."""
    from pipelines.cluster import ray_cluster

    settings = Settings.from_env(os.environ)
    recipe = system.get("fraud").recipe("single")  # little work a row, so that feeding it shows
    recipe = replace(recipe, dataset=folder, train=replace(recipe.train, epochs=1, batch_size=4096))
    data = system.get("fraud").load(folder, settings)
    assert data.stream is not None
    with ray_cluster(settings, object_store_bytes=store_bytes), tempfile.TemporaryDirectory() as scratch:
        from pipelines import trainer

        with _StoreWatch() as watch:
            trained = trainer.train(recipe, data, workers=WORKERS, folder=Path(scratch))
    last = trained.records[-1]
    return {
        "rows": data.stream.rows,
        "rows_per_s": last.samples_per_s,
        "train_s": last.elapsed_s,
        "store_peak_bytes": watch.peak_bytes,
        "spilled_bytes": watch.spilled_bytes,
    }


class _StoreWatch:
    """How much of the object store was in use, looked at every half second."""

    def __init__(self) -> None:
        self.peak_bytes, self.spilled_bytes = 0, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_StoreWatch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        import ray
        from ray._private.internal_api import get_memory_info_reply, get_state_from_address

        state = get_state_from_address(ray.get_runtime_context().gcs_address)
        while not self._over.wait(_LOOK_S):
            stats = get_memory_info_reply(state).store_stats
            self.peak_bytes = max(self.peak_bytes, int(stats.object_store_bytes_used))
            self.spilled_bytes = int(stats.spilled_bytes_total)


def main(words: Sequence[str]) -> None:
    what, folder, number = words
    if what == "write":
        write(folder, int(number))
    else:
        sys.stdout.write(json.dumps(train(folder, int(number))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
