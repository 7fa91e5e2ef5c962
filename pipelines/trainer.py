"""The training loop on Ray Train: recipe -> weights, data-parallel, surviving killed workers.

Ray must be initialised by the caller. Progress travels from rank 0 to the caller through a small actor, so it is seen
wherever the workers run.
"""

import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from drillyard.core.errors import TrainingFailed
from pipelines import loop
from pipelines.cluster import check_room
from pipelines.feed import Feed, InMemory
from pipelines.loop import Record
from pipelines.system import Arrays, Dataset, Recipe, Stream

STATE_FILE = "state.pt"
MAX_WORKER_FAILURES = 3
_LOOK_S = 1.0  # how often the caller looks for progress; each look costs the workers' cores some time

# Read by Ray Train's controller. The default waits seconds between looks, which a short run pays at start and end; the
# watcher is for machines that a cloud takes away with a warning.
_CONTROLLER_ENV = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5", "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Weights, and how they came about."""

    weights: dict[str, torch.Tensor]
    records: list[Record]
    device: str
    restarts: int  # times the workers were restarted from a checkpoint


def train(
    recipe: Recipe,
    dataset: Dataset,
    *,
    workers: int,
    folder: Path,
    on_record: Callable[[Record], None] = lambda _: None,
) -> Trained:
    """Train on `workers` Ray workers; checkpoints go to `folder`.

    Uses one CUDA device a worker (NCCL) when the cluster has that many, else one CPU a worker (gloo).
    Raises TrainingFailed on divergence or when the workers keep dying, UsageError when they cannot fit the cluster.
    """
    use_gpu = check_room(workers)
    for key, value in _CONTROLLER_ENV.items():
        os.environ.setdefault(key, value)
    mailbox: Any = _Mailbox.remote()  # type: ignore[attr-defined]  # what the decorator adds is untyped
    trainer = TorchTrainer(
        _work,
        train_loop_config={
            "recipe": recipe,
            "labels": dataset.labels,
            # References, not arrays: the object store shares one copy among the workers of a node.
            "fit": ray.put(dict(dataset.fit)),
            "stream": dataset.stream,
            "fit_validation": ray.put(dict(dataset.fit_validation)),
            "mailbox": mailbox,
        },
        torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=use_gpu, resources_per_worker=_resources(use_gpu)),
        run_config=RunConfig(
            name="ray-train",
            storage_path=str(folder),
            failure_config=FailureConfig(max_failures=MAX_WORKER_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            worker_runtime_env={"env_vars": loop.KEEP_MEMORY},
        ),
    )
    records: list[Record] = []
    try:
        outcome = _fit(trainer, mailbox, records, on_record)
    finally:
        ray.kill(mailbox)
    return Trained(weights=outcome["weights"], records=records, device=outcome["device"], restarts=outcome["restarts"])


def _resources(use_gpu: bool) -> dict[str, float]:
    return {"CPU": 1, "GPU": 1} if use_gpu else {"CPU": 1}


def _fit(
    trainer: TorchTrainer, mailbox: Any, records: list[Record], on_record: Callable[[Record], None]
) -> dict[str, Any]:
    """Run `fit` in a thread and handle what the workers tell, until both are done; returns rank 0's last words."""
    errors: list[BaseException] = []

    def target() -> None:
        try:
            trainer.fit()
        except BaseException as error:
            errors.append(error)

    # A thread, because fit() in the main thread takes SIGINT for itself.
    thread = threading.Thread(target=target, name="ray-train-fit", daemon=True)
    thread.start()
    outcome: dict[str, Any] = {"device": "", "restarts": -1}
    running = True
    while running:
        thread.join(_LOOK_S)
        running = thread.is_alive()
        for kind, content in ray.get(mailbox.empty.remote()):
            if kind == "record":
                records.append(content)
                on_record(content)
            elif kind == "started":
                outcome["device"] = content
                outcome["restarts"] += 1
            else:
                outcome[kind] = content
    if "diverged" in outcome:
        raise TrainingFailed(outcome["diverged"])
    if errors:
        raise TrainingFailed(f"training stopped: {_root_cause(errors[0])}") from errors[0]
    return outcome


@ray.remote(num_cpus=0)
class _Mailbox:
    """Holds what rank 0 tells until the caller looks. (Ray's own Queue costs several times the processor time.)"""

    def __init__(self) -> None:
        self._letters: list[tuple[str, Any]] = []

    def put(self, kind: str, content: Any) -> None:
        self._letters.append((kind, content))

    def empty(self) -> list[tuple[str, Any]]:
        letters, self._letters = self._letters, []
        return letters


def _root_cause(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


@dataclass
class _RayPeer:
    """The loop's view of a Ray Train worker."""

    rank: int
    world_size: int
    device: torch.device
    mailbox: Any

    def tell(self, record: Record) -> None:
        # Not waited for: a round trip to another process would hold up training on busy cores.
        self.mailbox.put.remote("record", record)

    def save(self, state: dict[str, Any], record: Record) -> None:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if self.rank == 0:
                torch.save(state, Path(folder) / STATE_FILE)
                checkpoint = Checkpoint.from_directory(folder)
            ray.train.report(asdict(record), checkpoint=checkpoint)

    def restore(self) -> dict[str, Any] | None:
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return None
        with checkpoint.as_directory() as folder:
            return torch.load(Path(folder) / STATE_FILE, map_location="cpu", weights_only=True)


def _feed(stream: Stream | None, fit: Arrays) -> Feed:
    if stream is None:
        return InMemory(fit)
    from pipelines.streaming import Streamed  # Ray Data takes memory of its own

    return Streamed(stream=stream, sample=fit)


def _device_name(device: torch.device) -> str:
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def _work(config: dict[str, Any]) -> None:
    """What each Ray Train worker runs."""
    context = ray.train.get_context()
    peer = _RayPeer(
        rank=context.get_world_rank(),
        world_size=context.get_world_size(),
        device=ray.train.torch.get_device(),
        mailbox=config["mailbox"],
    )
    if peer.device.type == "cpu":
        torch.set_num_threads(1)  # one CPU a worker: more threads would fight over the same cores
    if peer.rank == 0:
        ray.get(peer.mailbox.put.remote("started", _device_name(peer.device)))
    fit: Arrays = ray.get(config["fit"])
    fit_validation: Arrays = ray.get(config["fit_validation"])
    try:
        weights = loop.run(config["recipe"], config["labels"], _feed(config["stream"], fit), fit_validation, peer)
    except TrainingFailed as error:
        # Told, not raised: Ray would restart the workers and diverge again.
        if peer.rank == 0:
            ray.get(peer.mailbox.put.remote("diverged", str(error)))
        return
    if peer.rank == 0:
        ray.get(peer.mailbox.put.remote("weights", weights))
