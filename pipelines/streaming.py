"""Training rows streamed from Parquet files by Ray Data, for data sets that memory and object store cannot hold.

Each worker reads a stretch of the epoch's order of fragments with Ray Data tasks of its own: they fetch and decode
ahead of the loop while the object store has room, and a pool in the worker's memory mixes the rows of what has come.
Ray Train's own `datasets=` is not used, since which worker gets which block then depends on timing; here a resumed run
sees what an undisturbed one would have seen.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import ray
import torch
from ray.data import TaskPoolStrategy

from drillyard.core.errors import SourceError
from pipelines import fragments, raydata
from pipelines.feed import draw, per_worker, steps_per_epoch
from pipelines.fragments import Fragment
from pipelines.system import Arrays, Batch, Stream, TrainConfig

BLOCK_ROWS = 8192  # that come out of the object store at once
PREFETCH_BLOCKS = 4  # fetched while the loop computes
READERS = 1  # fragments that a worker has read at once
POOL_BYTES = 32 * 2**20  # of rows, in each worker's memory, from which batches are drawn
STORE_SHARE = 0.25  # of the object store that all workers' waiting blocks may take


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """A feed (feed.py) whose rows stay in their files."""

    stream: Stream
    sample: Arrays

    @property
    def rows(self) -> int:
        return self.stream.rows

    def epoch(self, config: TrainConfig, epoch: int, rank: int, world_size: int) -> Iterator[Batch]:
        """See Feed. Raises SourceError when the files hold fewer rows than their footers said."""
        batch_rows, steps = per_worker(config, world_size), steps_per_epoch(self.rows, config, world_size)
        pieces = share(self.stream.fragments, draw(config.seed, epoch, rank=-1), rank, world_size)
        work = raydata.work(
            [{"fragment": piece.model_dump_json()} for piece in pieces],
            store_bytes=int(STORE_SHARE * ray.cluster_resources()["object_store_memory"] / world_size),
            ordered=True,  # or the order would depend on which reader is quicker
        )
        rows = work.map_batches(
            raydata.read_fragments,
            batch_size=1,
            fn_kwargs={"storage": self.stream.storage},
            compute=TaskPoolStrategy(size=min(READERS, len(pieces))),
            num_cpus=0,  # the workers have all CPUs; reading rides along on them
        )
        # Scheduled by an actor of its own: in this process it would hold up the training's Python.
        (split,) = rows.streaming_split(1)
        blocks = split.iter_batches(batch_size=BLOCK_ROWS, batch_format="numpy", prefetch_batches=PREFETCH_BLOCKS)
        rng = np.random.default_rng(draw(config.seed, epoch, rank))
        batches = mixed(blocks, batch_rows, max(2 * batch_rows, self._pool_rows()), rng)
        made = 0
        for batch in batches:  # to its end, beyond the last whole batch, so that Ray Data is done with it
            if made < steps:
                yield batch
            made += 1
        if made < steps:
            where = self.stream.storage.location
            raise SourceError(
                where, f"gave {made} batches of {steps}", f"The files of {where} have changed; train again."
            )

    def _pool_rows(self) -> int:
        row_bytes = sum(values.nbytes / max(len(values), 1) for values in self.sample.values())
        return int(POOL_BYTES / row_bytes)


def share(whole: tuple[Fragment, ...], seed: int, rank: int, world_size: int) -> list[Fragment]:
    """One worker's equal part of the rows, in an order of fragments that all workers draw alike from the seed."""
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(seed)).tolist()
    rows = sum(fragment.rows for fragment in whole) // world_size
    return fragments.between([whole[index] for index in order], rank * rows, (rank + 1) * rows)


def mixed(blocks: Iterable[Arrays], batch_rows: int, pool_rows: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Batches drawn at random from a pool that the blocks keep filled: every row once, only the last batch smaller.

    `pool_rows` is at least twice `batch_rows`. Ray Data has a shuffle buffer too, but keeps it in the object store, and
    passes every batch, not every block, through its threads.
    """
    pool: list[Arrays] = []
    held = 0
    for block in blocks:
        pool.append({name: values.copy() for name, values in block.items()})  # views would fill the object store
        held += _rows(block)
        if held >= pool_rows:
            whole, drawn = _shuffled(pool, rng), held // 2 // batch_rows * batch_rows
            yield from _batches(whole, drawn, batch_rows)
            pool, held = [{name: values[drawn:] for name, values in whole.items()}], held - drawn
    if held:
        yield from _batches(_shuffled(pool, rng), held, batch_rows)


def _rows(block: Arrays) -> int:
    return len(next(iter(block.values())))


def _shuffled(pool: list[Arrays], rng: np.random.Generator) -> Arrays:
    order = rng.permutation(sum(map(_rows, pool)))
    return {name: np.concatenate([block[name] for block in pool])[order] for name in pool[0]}


def _batches(whole: Arrays, rows: int, batch_rows: int) -> Iterator[Batch]:
    for start in range(0, rows, batch_rows):
        yield {name: torch.from_numpy(values[start : min(start + batch_rows, rows)]) for name, values in whole.items()}
