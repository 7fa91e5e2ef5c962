"""What crosses from training to serving: one ONNX file and its card.

A registered model version is a folder with the three files named below. Tensor data types are those of the Open
Inference Protocol v2 (https://github.com/open-inference/open-inference-protocol).
"""

import re
from itertools import pairwise
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from drillyard.core.errors import UsageError

MODEL_FILE = "model.onnx"
CARD_FILE = "card.json"
# Real test inputs and the exported graph's own answers to them: `input.<tensor>`, `output.<tensor>` and `truth` arrays,
# equal first dimension, no pickled objects. Serving warms up on it, drills draw their requests from it.
SAMPLES_FILE = "samples.npz"

CHAMPION = "champion"  # passed the gate; what serving follows
CHALLENGER = "challenger"  # passed parity

Dtype = Literal["FP32", "FP64", "UINT8", "INT64", "BOOL"]
Interval = tuple[float, float, float]  # value, low and high end of the 95% confidence interval


class Frozen(BaseModel):
    """Base of every contract: immutable, and a stranger's extra field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorSpec(Frozen):
    """Name, data type and shape of one tensor; -1 is a free dimension, the first is always the batch."""

    name: str
    dtype: Dtype
    shape: tuple[int, ...]


class ModelRef(Frozen):
    """A model in the registry, by version (`fraud/3`) or by alias (`fraud@champion`)."""

    name: str
    version: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """`name`, `name@alias` or `name/version`; a bare name means the champion. Raises UsageError."""
        match = re.fullmatch(r"([a-z][a-z0-9_-]*)(?:@([a-z][a-z0-9_-]*)|/([1-9][0-9]*))?", text)
        if match is None:
            raise UsageError("model", text, "NAME, NAME@ALIAS or NAME/VERSION, such as fraud@champion")
        name, alias, version = match.groups()
        if version is not None:
            return cls(name=name, version=int(version))
        return cls(name=name, alias=alias or CHAMPION)

    def __str__(self) -> str:
        return f"{self.name}/{self.version}" if self.version is not None else f"{self.name}@{self.alias}"


class DatasetRef(Frozen):
    """Which data a model was trained and tested on."""

    name: str
    sha256: str  # of the raw files' sha256 sums, in the source's order


class Threshold(Frozen):
    """A decision threshold inside the graph, and how it was chosen."""

    value: float
    chosen_by: str


class Parity(Frozen):
    """How far the exported graph's answers are from the trained model's, on real test samples."""

    samples: int
    max_abs_difference: float
    tolerance: float
    reason: str


class Bins(Frozen):
    """How one feature was distributed: the share of rows in each bin. Bin i holds edges[i - 1] < x <= edges[i]."""

    feature: str
    edges: tuple[float, ...]  # inner edges, ascending; the first and last bin are open
    shares: tuple[float, ...]  # one more than edges; their sum is 1

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.shares) != len(self.edges) + 1 or any(a >= b for a, b in pairwise(self.edges)):
            raise ValueError("edges must ascend, and shares be one more than edges")
        return self


class Summary(Frozen):
    """What the model was trained on, in bins; drift is the distance of live traffic from it (see core/summary.py)."""

    inputs: tuple[Bins, ...]  # of the training slice
    score: Bins | None  # of the model's own scores on the validation slice


class Quality(Frozen):
    """What the decisions of a model are worth to those who ask it one row at a time."""

    score: str  # the output that ranks rows
    decision: str  # the BOOL output that acts on a row
    reviewed: int  # how many of the highest scores can be looked at
    weight: str  # the feature (one of the card's labels) that a missed positive costs


class ModelCard(Frozen):
    """All that serving, drills and people need to know of one model version."""

    name: str
    version: int
    task: Literal["classification", "anomaly-detection"]
    recipe: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...] = Field(description="classes in output order, or feature names for `reasons`")
    threshold: Threshold | None
    primary_metric: str = Field(description="the metric the gate compares; a key of `metrics`; higher is better")
    metrics: dict[str, Interval]
    baselines: dict[str, dict[str, Interval]] = Field(
        default_factory=dict, description="simpler methods on the same test slice"
    )
    dataset: DatasetRef
    parity: Parity
    commit: str
    run_id: str
    opset: int
    onnx_sha256: str
    samples_sha256: str
    summary: Summary | None = Field(default=None, description="distributions at training time; older cards have none")
    quality: Quality | None = Field(default=None, description="what decisions are worth; drills tell it under load")
    notes: dict[str, str] = Field(default_factory=dict, description="free facts for people, such as int8 speed ratio")
