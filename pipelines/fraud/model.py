"""Denoising autoencoders on transactions, scored by how unusual the residual is.

Several small autoencoders are trained at once as one module with batched weights. Each learns to restore a known-good
transaction from a noisy copy; what they cannot restore, on average, is the residual. After training, the residuals of
known-good training rows fix a whitening matrix, and the score of a transaction is the squared length of its whitened
residual: the squared Mahalanobis distance (Mahalanobis 1936) of the residual. Plain reconstruction error weighs
features by how hard they are to restore; whitening removes that, and the clip of the inputs removes most of what is
left of the seed's luck. Denoising after Vincent et al. (2008).
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from drillyard.core.contract import TensorSpec
from pipelines.fraud.data import AMOUNT
from pipelines.system import Arrays, Batch, ModelSpec, TrainableModel

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class DenoisingAutoencoders:
    """Sizes of the network and of its noise."""

    members: int  # autoencoders, whose residuals are averaged
    hidden: int  # units between input and code
    code: int  # units of the bottleneck
    noise: float  # standard deviation of the training noise, in standardised units
    clip: float = 5.0  # standardised inputs are cut to +-clip, so that one wild value cannot own the score
    residual_clip: float = 4.0  # standard deviations; wild known-good rows must not widen the directions of fraud
    ridge: float = 1e-4  # share of each residual's variance added to itself before whitening

    def build(self, labels: tuple[str, ...]) -> "FraudScorer":
        return FraudScorer(self, len(labels))

    def spec(self, labels: tuple[str, ...]) -> ModelSpec:
        width = len(labels)
        return ModelSpec(
            task="anomaly-detection",
            inputs=(TensorSpec(name="features", dtype="FP32", shape=(-1, width)),),
            outputs=(
                TensorSpec(name="score", dtype="FP32", shape=(-1,)),
                TensorSpec(name="is_fraud", dtype="BOOL", shape=(-1,)),
                TensorSpec(name="reasons", dtype="FP32", shape=(-1, width)),
            ),
            parity_tolerance=2e-2,
            parity_reason="the score is a sum of squares up to the thousands in fp32: 2e-2 is a few parts per million",
        )


class FraudScorer(TrainableModel):
    """Standardise, restore, whiten the residual, sum its squares."""

    center: Tensor
    scale: Tensor
    residual_mean: Tensor
    whitening: Tensor
    threshold: Tensor

    def __init__(self, config: DenoisingAutoencoders, features: int) -> None:
        super().__init__()
        self.config = config
        sizes = (features, config.hidden, config.code, config.hidden, features)
        pairs = list(pairwise(sizes))
        gains = (1.3, 1.3, 1.3, 1.0)
        self.weights = (
            nn.ParameterList(  # (members, fan in, fan out), uniform of standard deviation gain / sqrt(fan in)
                nn.Parameter((2 * torch.rand(config.members, a, b) - 1) * gain * math.sqrt(3 / a))
                for (a, b), gain in zip(pairs, gains, strict=True)
            )
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(config.members, 1, b)) for _, b in pairs)
        self.register_buffer("center", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("residual_mean", torch.zeros(features))
        self.register_buffer("whitening", torch.eye(features))
        self.register_buffer("threshold", torch.tensor(math.inf))

    @torch.no_grad()
    def prepare(self, fit: Arrays) -> None:
        """Standardise by the legitimate training rows."""
        values = self._log_amount(torch.tensor(fit["features"])).double()
        self.center.copy_(values.mean(dim=0))
        self.scale.copy_(values.std(dim=0))

    def loss(self, batch: Batch, progress: float, generator: torch.Generator | None) -> Tensor:
        """Mean squared error of restoring the clean row, summed over the autoencoders."""
        del progress  # the noise stays the same
        clean = self.standardise(batch["features"])  # (batch, features)
        rows = clean.expand(self.config.members, *clean.shape)
        noisy = rows
        if generator is not None:
            noise = torch.randn(rows.shape, generator=generator).to(rows.device)
            noisy = rows + self.config.noise * noise
        return (self.restore(noisy) - rows).square().mean() * self.config.members

    def restore(self, rows: Tensor) -> Tensor:
        """(members, batch, features) -> the same shape."""
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            rows = torch.matmul(rows, weight) + bias
            if layer < last:
                rows = torch.relu(rows)
        return rows

    def standardise(self, features: Tensor) -> Tensor:
        """(batch, features) raw -> zero mean, unit variance, cut to the clip."""
        scaled = (self._log_amount(features) - self.center) / self.scale
        return scaled.clamp(-self.config.clip, self.config.clip)

    def residuals(self, features: Tensor) -> Tensor:
        """(batch, features) raw -> what the autoencoders, on average, do not restore: (batch, features)."""
        clean = self.standardise(features)
        return clean - self.restore(clean.expand(self.config.members, *clean.shape)).mean(dim=0)

    @torch.no_grad()
    def finalise(self, fit: Arrays) -> None:
        """Whiten the residuals of known-good training rows; symmetric (ZCA), so that it stays near the features."""
        rows = torch.tensor(fit["features"], device=self.center.device)
        residuals = torch.cat([self.residuals(part) for part in torch.split(rows, 8192)]).double()
        limit = self.config.residual_clip * residuals.std(dim=0)
        residuals = residuals.clamp(-limit, limit)
        mean = residuals.mean(dim=0)
        covariance = torch.cov((residuals - mean).T)  # (features, features)
        covariance += self.config.ridge * torch.diag(covariance.diagonal())
        values, vectors = torch.linalg.eigh(covariance)
        self.residual_mean.copy_(mean)
        self.whitening.copy_(vectors @ torch.diag(values.clamp_min(1e-12).rsqrt()) @ vectors.T)

    def score(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Score (batch,), and each feature's share of it (batch, features), non-negative and summing to 1."""
        parts = ((self.residuals(features) - self.residual_mean) @ self.whitening).square()  # (batch, features)
        total = parts.sum(dim=1)
        return total, parts / total.clamp_min(1e-12)[:, None]

    def serving(self) -> nn.Module:
        return Served(self)

    @staticmethod
    def _log_amount(features: Tensor) -> Tensor:
        amount = features[:, AMOUNT : AMOUNT + 1].clamp_min(0).log1p()
        return torch.cat((features[:, :AMOUNT], amount, features[:, AMOUNT + 1 :]), dim=1)


class Served(nn.Module):
    """The whole function: raw features in; score, decision and reasons out."""

    def __init__(self, model: FraudScorer) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        score, reasons = self.model.score(features)
        return score, score > self.model.threshold, reasons


@torch.no_grad()
def scores(model: FraudScorer, features: Array) -> Array:
    """Scores (n,) of raw rows (n, features)."""
    return torch.cat([model.score(part)[0] for part in torch.split(torch.tensor(features), 8192)]).numpy()
