"""The one training loop: a recipe and rows in, trained weights out. Knows torch.distributed, not Ray.

Every random draw depends only on (seed, epoch, rank), so a run that resumes from an epoch's checkpoint repeats exactly
what an undisturbed run would have done.
"""

import contextlib
import time
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from drillyard.core.errors import TrainingFailed
from pipelines.feed import Feed, draw, per_worker, steps_per_epoch, tensors
from pipelines.optim import Optimizers
from pipelines.system import Arrays, Batch, Recipe, TrainableModel, TrainConfig

# glibc's allocator, told at a training process's start to keep freed blocks: fresh pages for every activation of every
# step cost a tenth of the time and more.
KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}

RECORDS_PER_SECOND = 1  # how often progress is told between epochs


@dataclass(frozen=True, kw_only=True)
class Record:
    """One line of progress."""

    step: int
    total_steps: int
    epoch: int  # from 1
    epochs: int
    loss: float
    learning_rate: float
    samples_per_s: float  # over all workers
    elapsed_s: float  # in the loop, over restarts
    validation_loss: float | None = None  # at the end of an epoch


class Peer(Protocol):
    """What the loop needs of whoever runs it (Ray Train, torchrun, one process)."""

    rank: int
    world_size: int
    device: torch.device

    def tell(self, record: Record) -> None:
        """Show progress; called on rank 0 only."""

    def save(self, state: dict[str, Any], record: Record) -> None:
        """Keep an epoch's state; called on every rank."""

    def restore(self) -> dict[str, Any] | None:
        """The last saved state, or None."""


def run(
    recipe: Recipe, labels: tuple[str, ...], feed: Feed, fit_validation: Arrays, peer: Peer
) -> dict[str, torch.Tensor]:
    """Train; return the weights on the CPU, finalised on rank 0. Raises TrainingFailed on a loss that is not finite."""
    config = recipe.train
    torch.manual_seed(config.seed)
    model = recipe.model.build(labels)
    model.prepare(feed.sample)
    model.to(peer.device)
    if config.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lacks this overload
    wrapped = _wrap(model, peer)

    steps = steps_per_epoch(feed.rows, config, peer.world_size)
    total_steps = steps * config.epochs
    optimizers = Optimizers(model, config, total_steps)
    first_epoch, spent_s = _resume(peer, model, optimizers)
    validation = tensors(fit_validation)

    told = time.monotonic()
    started = told - spent_s
    for epoch in range(first_epoch, config.epochs):
        generator = torch.Generator().manual_seed(draw(config.seed, epoch, peer.rank))
        model.train()
        step, loss_value, rate = epoch * steps, float("nan"), 0.0
        for step, rows in enumerate(feed.epoch(config, epoch, peer.rank, peer.world_size), start=epoch * steps):
            batch = {name: values.to(peer.device) for name, values in rows.items()}
            loss_value = _step(wrapped, model, batch, step, total_steps, optimizers, config, generator, peer)
            rate = optimizers.step(step)
            if peer.rank == 0 and time.monotonic() - told > 1 / RECORDS_PER_SECOND:
                told = time.monotonic()
                peer.tell(_record(step + 1, total_steps, epoch, config, peer, loss_value, rate, started))
        _average_buffers(model, peer)
        record = _record(step + 1, total_steps, epoch, config, peer, loss_value, rate, started)
        validation_loss = _validate(model, validation, config, peer)
        record = Record(**{**record.__dict__, "validation_loss": validation_loss})
        if peer.rank == 0:
            peer.tell(record)
        peer.save(_state(model, optimizers, record), record)

    model.eval()
    if peer.rank == 0:
        model.finalise(feed.sample)
    return {name: value.detach().cpu() for name, value in model.state_dict().items()}


class _Loss(torch.nn.Module):
    """Lets DistributedDataParallel see the loss as the forward pass, so that gradients are averaged over workers."""

    def __init__(self, model: TrainableModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, progress: float, generator: torch.Generator | None) -> torch.Tensor:
        return self.model.loss(batch, progress, generator)


def _wrap(model: TrainableModel, peer: Peer) -> torch.nn.Module:
    loss = _Loss(model)
    if peer.world_size == 1:
        return loss
    devices = [peer.device] if peer.device.type == "cuda" else None
    # Batch statistics are averaged once an epoch: sending them every step costs time and buys nothing.
    # One bucket view per gradient saves a copy of all gradients each step.
    return DistributedDataParallel(loss, device_ids=devices, forward_sync_buffers=False, gradient_as_bucket_view=True)


def _step(
    wrapped: torch.nn.Module,
    model: TrainableModel,
    batch: Batch,
    step: int,
    total_steps: int,
    optimizers: Optimizers,
    config: TrainConfig,
    generator: torch.Generator,
    peer: Peer,
) -> float:
    with autocast(config, peer.device):
        loss: torch.Tensor = wrapped(batch, step / total_steps, generator)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
    # After the all-reduce a NaN on one worker is a NaN in every worker's norm, so all of them stop here together.
    if not torch.isfinite(norm):
        raise TrainingFailed(
            f"loss or gradient is not finite at step {step + 1} of {total_steps} (loss {loss.item():g}, "
            f"learning rate {optimizers.learning_rate(step):.3g}); lower learning_rate, now {config.learning_rate:g}, "
            f"or grad_clip, now {config.grad_clip:g}"
        )
    return loss.item()


def autocast(config: TrainConfig, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision of the forward pass as the recipe has it."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.precision == "bf16")


@torch.no_grad()
def _validate(model: TrainableModel, data: Batch, config: TrainConfig, peer: Peer) -> float:
    model.eval()
    total = torch.zeros(2, dtype=torch.float64)
    size = len(next(iter(data.values())))
    for start in range(peer.rank * 1000, size, peer.world_size * 1000):
        batch = {name: values[start : start + 1000].to(peer.device) for name, values in data.items()}
        rows = len(next(iter(batch.values())))
        with autocast(config, peer.device):
            total += torch.tensor([model.loss(batch, 1.0, None).item() * rows, rows], dtype=torch.float64)
    if peer.world_size > 1:
        total = total.to(peer.device)
        dist.all_reduce(total)
    return float(total[0] / total[1])


@torch.no_grad()
def _average_buffers(model: TrainableModel, peer: Peer) -> None:
    """Give every worker the mean of all workers' batch statistics."""
    if peer.world_size == 1:
        return
    for buffer in model.buffers():
        if buffer.is_floating_point():
            dist.all_reduce(buffer)
            buffer /= peer.world_size


def _state(model: TrainableModel, optimizers: Optimizers, record: Record) -> dict[str, Any]:
    return {
        "model": model.state_dict(),
        "optimizers": optimizers.state_dict(),
        "epochs_done": record.epoch,
        "elapsed_s": record.elapsed_s,
    }


def _resume(peer: Peer, model: TrainableModel, optimizers: Optimizers) -> tuple[int, float]:
    """Epochs done, and the seconds they took."""
    state = peer.restore()
    if state is None:
        return 0, 0.0
    model.load_state_dict(state["model"])
    optimizers.load_state_dict(state["optimizers"])
    return int(state["epochs_done"]), float(state["elapsed_s"])


def _record(
    step: int,
    total_steps: int,
    epoch: int,
    config: TrainConfig,
    peer: Peer,
    loss: float,
    learning_rate: float,
    started: float,
) -> Record:
    elapsed_s = time.monotonic() - started
    rows = per_worker(config, peer.world_size) * peer.world_size
    return Record(
        step=step,
        total_steps=total_steps,
        epoch=epoch + 1,
        epochs=config.epochs,
        loss=loss,
        learning_rate=learning_rate,
        samples_per_s=step * rows / max(elapsed_s, 1e-9),
        elapsed_s=elapsed_s,
    )
