"""What feeds the training loop: batches of training rows, from arrays in memory or (streaming.py) from Parquet files.

Every order depends only on (seed, epoch, rank), and all workers get the same number of batches.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from pipelines.system import Arrays, Batch, TrainConfig


class Feed(Protocol):
    """Training rows as the loop asks for them."""

    @property
    def rows(self) -> int:
        """Of an epoch, over all workers."""

    @property
    def sample(self) -> Arrays:
        """Rows that a model's constants are fitted on: all, or as many as memory is for."""

    def epoch(self, config: TrainConfig, epoch: int, rank: int, world_size: int) -> Iterator[Batch]:
        """One worker's batches of an epoch, exactly `steps_per_epoch` of them, on the CPU."""


@dataclass(frozen=True)
class InMemory:
    """Arrays of which every epoch is a new permutation."""

    sample: Arrays

    @property
    def rows(self) -> int:
        return len(next(iter(self.sample.values())))

    def epoch(self, config: TrainConfig, epoch: int, rank: int, world_size: int) -> Iterator[Batch]:
        # All workers shuffle alike and each takes its own stripe, so no row is seen twice in an epoch.
        order = torch.randperm(self.rows, generator=torch.Generator().manual_seed(draw(config.seed, epoch, rank=-1)))
        mine = order[rank::world_size]
        rows = per_worker(config, world_size)
        for index in range(steps_per_epoch(self.rows, config, world_size)):
            chosen = mine[index * rows : (index + 1) * rows]
            yield {name: values[chosen] for name, values in self._data.items()}

    @cached_property
    def _data(self) -> Batch:
        return tensors(self.sample)


def steps_per_epoch(size: int, config: TrainConfig, world_size: int) -> int:
    """Whole global batches in `size` rows, at least one; the rest of a shuffled epoch is left out."""
    return max(1, size // (per_worker(config, world_size) * world_size))


def per_worker(config: TrainConfig, world_size: int) -> int:
    """Rows of a global batch that one worker takes."""
    return max(1, config.batch_size // world_size)


def draw(seed: int, epoch: int, rank: int) -> int:
    """The seed of one worker's draws in one epoch; rank -1 is for what all workers draw alike."""
    return int(np.random.SeedSequence([seed, epoch, rank + 1]).generate_state(1)[0])


def tensors(arrays: Arrays) -> Batch:
    """The arrays as tensors that share their memory where it may be written to."""
    # Arrays out of Ray's object store are read-only; torch only reads them, but warns unless it may write.
    return {
        name: torch.from_numpy(values if values.flags.writeable else values.copy()) for name, values in arrays.items()
    }
