"""The seam every system plugs into: what the shared trainer, export and registry ask of a system, and nothing more.

A system is a folder under pipelines/ with four modules: `data` (`load`), `model` (a `ModelConfig` and its
`TrainableModel`), `evaluate` (`calibrate`, `evaluate`, `primary`) and `recipes` (functions that return a `Recipe`;
`DEFAULT` names one). The folder's name is the registered model's name. Nothing is registered anywhere else.
"""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch

import pipelines
from drillyard.core.contract import DatasetRef, Interval, Quality, TensorSpec, Threshold
from drillyard.core.errors import UsageError
from drillyard.core.settings import Settings
from pipelines.fragments import Fragment
from pipelines.storage import Storage, is_location

Arrays = Mapping[str, np.ndarray[Any, Any]]  # name -> array; all with the same first dimension
Batch = Mapping[str, torch.Tensor]
OptimizerName = Literal["sgd", "adamw", "muon"]
Predict = Callable[[Arrays], dict[str, np.ndarray[Any, Any]]]  # graph inputs -> graph outputs


@dataclass(frozen=True, kw_only=True)
class Split:
    """Rows for evaluation: the graph's inputs, and what is true of each."""

    inputs: Arrays
    truth: np.ndarray[Any, Any]  # (n,)

    def __len__(self) -> int:
        return len(self.truth)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Training rows in Parquet files, which memory need not hold. Columns have the names that `fit` has."""

    storage: Storage
    fragments: tuple[Fragment, ...]

    @property
    def rows(self) -> int:
        return sum(fragment.rows for fragment in self.fragments)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One data set, split. `fit` and `stream` are all that the training loop ever sees."""

    ref: DatasetRef
    labels: tuple[str, ...]
    fit: Arrays  # what is learned from; a sample of it where `stream` holds the whole
    stream: Stream | None = None
    fit_validation: Arrays  # for the loss curve while training
    train: Split
    validation: Split  # chooses models and thresholds
    test: Split  # touched once, by the graph that is to be served


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained; the same for one worker or many."""

    epochs: int
    batch_size: int  # over all workers
    learning_rate: float  # peak of the one-cycle schedule
    weight_decay: float
    optimizer: OptimizerName = "sgd"
    momentum: float = 0.9
    warmup: float = 0.25  # share of all steps in which the learning rate rises
    final_learning_rate: float = 0.0  # at the end, as a share of the peak
    grad_clip: float = 1.0  # largest global gradient norm
    precision: Literal["bf16", "fp32"] = "fp32"  # autocast of the forward pass
    channels_last: bool = False  # memory format of image tensors
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class ParameterGroup:
    """Parameters that one optimiser updates."""

    parameters: list[torch.nn.Parameter]
    optimizer: OptimizerName
    learning_rate: float  # peak
    weight_decay: float
    momentum: float


class TrainableModel(torch.nn.Module, ABC):
    """A network that knows its own loss and how it is served."""

    @abstractmethod
    def prepare(self, fit: Arrays) -> None:
        """Fit the constants that training needs (scalers, whitening) from training data; deterministic."""

    @abstractmethod
    def loss(self, batch: Batch, progress: float, generator: torch.Generator | None) -> torch.Tensor:
        """Scalar loss of one batch.

        `progress` in [0, 1] is how far training is. A generator means training (augmentation and noise are drawn from
        it), None means validation.
        """

    def groups(self, config: TrainConfig) -> list[ParameterGroup]:
        """Which optimiser updates what; by default one group as the recipe has it."""
        return [
            ParameterGroup(
                parameters=[weight for weight in self.parameters() if weight.requires_grad],
                optimizer=config.optimizer,
                learning_rate=config.learning_rate,
                weight_decay=config.weight_decay,
                momentum=config.momentum,
            )
        ]

    def finalise(self, fit: Arrays) -> None:
        """Fit the constants that only the trained network can give; deterministic."""

    @abstractmethod
    def serving(self) -> torch.nn.Module:
        """The whole function: raw inputs in, the card's outputs out, in the order of `ModelSpec.outputs`."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What does not depend on training: the served signature and the task."""

    task: Literal["classification", "anomaly-detection"]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parity_tolerance: float  # largest allowed |torch - ONNX| of a float output
    parity_reason: str


class ModelConfig(Protocol):
    """A frozen dataclass of the network's sizes."""

    def build(self, labels: tuple[str, ...]) -> TrainableModel: ...

    def spec(self, labels: tuple[str, ...]) -> ModelSpec: ...


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that makes one model, as one value that can be printed, compared and repeated."""

    system: str
    name: str
    purpose: str  # the trade it stands for, for people
    dataset: str
    model: ModelConfig
    train: TrainConfig
    int8: bool = False  # quantise the exported graph


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the test slice says of a graph, with baselines fitted on the same split in the same run."""

    metrics: dict[str, Interval]
    baselines: dict[str, dict[str, Interval]] = field(default_factory=dict)
    plots: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class System:
    """The functions of one system's four modules, imported when they are called."""

    name: str

    def _module(self, name: str) -> Any:
        return importlib.import_module(f"pipelines.{self.name}.{name}")

    @property
    def primary_metric(self) -> str:
        return self._module("evaluate").PRIMARY_METRIC

    @property
    def quality(self) -> Quality | None:
        """What decisions are worth, where `evaluate` says so."""
        return getattr(self._module("evaluate"), "QUALITY", None)

    def load(self, dataset: str, settings: Settings, say: Callable[[str], None] = lambda _: None) -> Dataset:
        """The named data set, or the one in Parquet files at that location. Raises SourceError, UsageError."""
        if is_location(dataset):
            from pipelines import shards

            return shards.load(dataset, self.name, say)
        return self._module("data").load(dataset, settings, say)

    def calibrate(self, model: TrainableModel, dataset: Dataset) -> Threshold | None:
        return self._module("evaluate").calibrate(model, dataset)

    def evaluate(self, predict: Predict, dataset: Dataset, plots: Path, seed: int) -> Evaluation:
        return self._module("evaluate").evaluate(predict, dataset, plots, seed)

    def primary(self, outputs: Arrays, truth: np.ndarray[Any, Any]) -> float:
        return self._module("evaluate").primary(outputs, truth)

    def recipe(self, name: str | None = None) -> Recipe:
        recipes = self.recipes()
        chosen = name or self._module("recipes").DEFAULT
        if chosen not in recipes:
            raise UsageError("recipe", chosen, "one of " + ", ".join(recipes))
        return recipes[chosen]()

    def recipes(self) -> dict[str, Callable[[], Recipe]]:
        return self._module("recipes").RECIPES


def names() -> list[str]:
    """Every system there is: the packages under pipelines/."""
    return sorted(module.name for module in pkgutil.iter_modules(pipelines.__path__) if module.ispkg)


def get(name: str) -> System:
    """The system of that name. Raises UsageError."""
    if name not in names():
        raise UsageError("system", name, "one of " + ", ".join(names()))
    return System(name)
