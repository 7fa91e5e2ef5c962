"""Ray Data over small descriptions of work: what is to be read or scored travels as a line, not as rows.

Tasks import this module, so nothing here or below brings torch.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import ray.data
from ray.data import ExecutionResources

from pipelines import columns, fragments
from pipelines.fragments import Fragment
from pipelines.storage import Storage

_BLOCKS = 1000  # at most; each is an object of its own, made before the first is worked on
_BLOCK_BYTES = 2 * 2**20  # of results in the object store: several have room in a small share of a small one
_READ_ROWS = 8192
_ACTORS_START_S = 300  # at most, until all of a pool have started


def work(items: Sequence[Mapping[str, Any]], *, store_bytes: int, ordered: bool = False) -> Any:
    """A ray.data.Dataset of the items, at best one a block, that keeps to its share of the object store.

    `store_bytes` bounds what waits there to be consumed. With `ordered`, results come in the items' order.
    """
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # progress and errors are told by us
    found = ray.data.from_items([dict(item) for item in items], override_num_blocks=min(len(items), _BLOCKS))
    context = found.context
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.memory_usage_poll_interval_s = None  # a thread in each worker, for a dashboard that is off
    context.wait_for_min_actors_s = _ACTORS_START_S  # or the first would do its work while the others load
    context.execution_no_progress_timeout_s = -1  # whoever consumes may take as long as it likes
    context.target_max_block_size = _BLOCK_BYTES
    context.execution_options.preserve_order = ordered
    context.execution_options.resource_limits = ExecutionResources.for_limits(object_store_memory=store_bytes)
    return found


def read_fragments(
    lines: dict[str, np.ndarray[Any, Any]], storage: Storage
) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    """For `map_batches`: the rows of the fragments that column `fragment` of the work describes, a batch at a time."""
    for line in lines["fragment"]:
        for batch in fragments.read(storage, Fragment.model_validate_json(line), None, _READ_ROWS):
            yield {name: columns.values(batch.column(name), name) for name in batch.schema.names}
