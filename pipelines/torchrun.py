"""The training loop under torchrun, without Ray: what `make bench-train` holds Ray Train against.
`make bench-parts` takes parts of it away.

torchrun --nproc_per_node 2 -m pipelines.torchrun JOB    (JOB: a pickle-free JSON file made by bench_train)
"""

import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from drillyard.core.settings import Settings
from pipelines import loop, system
from pipelines.feed import InMemory
from pipelines.loop import Record
from pipelines.system import Arrays, Recipe


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is trained, as plain values."""

    system: str
    recipe: str
    dataset: str
    rows: int  # of the training slice
    epochs: int
    precision: str
    channels_last: bool
    batch_size: int | None = None  # over all workers; None: the recipe's

    def made(self) -> Recipe:
        recipe = system.get(self.system).recipe(self.recipe)
        precision: Any = self.precision
        train = replace(recipe.train, epochs=self.epochs, precision=precision, channels_last=self.channels_last)
        if self.batch_size is not None:
            train = replace(train, batch_size=self.batch_size)
        return replace(recipe, dataset=self.dataset, train=train)

    def arrays(self) -> tuple[tuple[str, ...], Arrays, Arrays]:
        """Labels, training rows and a few validation rows."""
        data = system.get(self.system).load(self.made().dataset, Settings.from_env(os.environ))
        fit = {name: values[: self.rows] for name, values in data.fit.items()}
        held = {name: values[:512] for name, values in data.fit_validation.items()}
        return data.labels, fit, held


class _TorchrunPeer:
    def __init__(self) -> None:
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
        self.device = torch.device("cpu")
        self.ends: list[Record] = []

    def tell(self, record: Record) -> None:
        if record.validation_loss is not None:
            self.ends.append(record)

    def save(self, state: dict[str, Any], record: Record) -> None:
        del record
        if self.rank == 0:  # as under Ray: the cost of a checkpoint an epoch belongs to both
            with tempfile.TemporaryDirectory() as folder:
                torch.save(state, Path(folder) / "state.pt")

    def restore(self) -> dict[str, Any] | None:
        return None


def main() -> None:
    job = Job(**json.loads(Path(sys.argv[1]).read_text()))
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    peer = _TorchrunPeer()
    labels, fit, held = job.arrays()
    loop.run(job.made(), labels, InMemory(fit), held, peer)
    if peer.rank == 0:
        sys.stdout.write(json.dumps([asdict(record) for record in peer.ends]) + "\n")
    dist.barrier()  # a worker that leaves first takes the others' connections with it
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
