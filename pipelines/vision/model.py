"""A residual CNN that trains fast on a CPU with bf16 units, and the function it is served as.

Shapes below are for 32x32 images and widths (64, 256, 256):

    image   (batch, height, width, 3) uint8
    stem    2x2 whitening convolution, fixed         (batch, 2 * whitened, 31, 31)
    stage 1 convolution, pool, norm, residual branch (batch, 64, 15, 15)
    stage 2                                          (batch, 256, 7, 7)
    stage 3                                          (batch, 256, 3, 3)
    head    global max, dropout, linear              (batch, classes)

The whitening stem and the identity-like start are after Page (2019, "How to train your ResNet") and Jordan (2024,
"94% on CIFAR-10 in 3.29 seconds").
"""

from dataclasses import dataclass, field
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drillyard.core.contract import TensorSpec
from pipelines.system import Arrays, Batch, ModelSpec, ParameterGroup, TrainableModel, TrainConfig
from pipelines.vision import augment
from pipelines.vision.conv import Conv3x3

HEAD_LEARNING_RATE, BIAS_LEARNING_RATE = 0.002, 10.0  # biases move fast: the norms after them undo their scale
WHITENING_IMAGES = 2000
WHITENING_EPSILON = 5e-4  # keeps near-empty directions, such as the colours of grey images, from being blown up


@dataclass(frozen=True, kw_only=True)
class ResidualCnn:
    """Sizes of the network, and the regularisers that belong to its loss."""

    image_size: int  # side in pixels of the square that served images are resized to
    widths: tuple[int, ...] = (64, 256, 256)  # channels of each stage; multiples of 32 suit the matrix units
    whitened: int = 12  # principal directions of 2x2 patches that the stem keeps, of 12
    dropout: float = 0.0  # on the pooled features
    label_smoothing: float = 0.2
    augmentation: augment.Augmentation = field(default_factory=augment.Augmentation)
    flip_average: bool = False  # serve the mean of an image and its mirror: better, at twice the cost
    norm_momentum: float = 0.4  # weight of the newest batch in the running statistics

    def build(self, labels: tuple[str, ...]) -> "ImageClassifier":
        return ImageClassifier(self, len(labels))

    def spec(self, labels: tuple[str, ...]) -> ModelSpec:
        return ModelSpec(
            task="classification",
            inputs=(TensorSpec(name="image", dtype="UINT8", shape=(-1, -1, -1, 3)),),
            outputs=(
                TensorSpec(name="scores", dtype="FP32", shape=(-1, len(labels))),
                TensorSpec(name="label", dtype="INT64", shape=(-1,)),
            ),
            parity_tolerance=1e-4,
            parity_reason="softmax scores in fp32; the runtimes add convolution terms in different orders",
        )


class ImageClassifier(TrainableModel):
    """Image in, one logit a class out."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: ResidualCnn, classes: int) -> None:
        super().__init__()
        self.config = config
        channels = (2 * config.whitened, *config.widths)
        # Set by `prepare` and never trained, which spares its backward pass over the largest maps.
        self.stem = nn.Conv2d(3, channels[0], 2, bias=False).requires_grad_(False)
        self.stages = nn.ModuleList(_Stage(c_in, c_out, config.norm_momentum) for c_in, c_out in pairwise(channels))
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.widths[-1], classes, bias=False)
        nn.init.normal_(self.head.weight, std=1.0 / config.widths[-1])
        self.register_buffer("mean", torch.zeros(1, 3, 1, 1))
        self.register_buffer("std", torch.ones(1, 3, 1, 1))

    @torch.no_grad()
    def prepare(self, fit: Arrays) -> None:
        """Set normalisation and whitening filters from training images."""
        images = torch.tensor(fit["image"][:WHITENING_IMAGES]).float().permute(0, 3, 1, 2) / 255
        self.mean.copy_(images.mean(dim=(0, 2, 3)).view(1, 3, 1, 1))
        self.std.copy_(images.std(dim=(0, 2, 3)).view(1, 3, 1, 1))
        self.stem.weight.copy_(whitening_filters((images - self.mean) / self.std, 2, self.config.whitened))

    def loss(self, batch: Batch, progress: float, generator: torch.Generator | None) -> Tensor:
        """Cross entropy, with smoothed labels on augmented images while training."""
        images, side, smoothing = batch["image"], self.config.image_size, 0.0
        if generator is None:
            images = augment.resize(images, side)
        else:
            images = augment.apply(images, self.config.augmentation, side, progress, generator)
            smoothing = self.config.label_smoothing
        logits: Tensor = self(self.normalise(images.permute(0, 3, 1, 2).float()))
        return F.cross_entropy(logits.float(), batch["label"], label_smoothing=smoothing)

    def normalise(self, images: Tensor) -> Tensor:
        """(batch, 3, height, width) in 0..255 -> zero mean and unit variance a channel."""
        return (images / 255 - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        """Normalised (batch, 3, height, width) -> logits (batch, classes)."""
        x = F.relu(self.stem(images))
        for stage in self.stages:
            x = stage(x)
        logits: Tensor = self.head(self.dropout(x.amax(dim=(2, 3))))
        return logits

    def groups(self, config: TrainConfig) -> list[ParameterGroup]:
        """Filters to the recipe's optimiser, the rest to SGD at rates of their own."""
        filters = [weight for weight in self.stages.parameters() if weight.ndim == 4]
        biases = [weight for weight in self.stages.parameters() if weight.ndim == 1 and weight.requires_grad]
        decay = 2e-6 * config.batch_size

        def sgd(parameters: list[nn.Parameter], rate: float) -> ParameterGroup:
            return ParameterGroup(
                parameters=parameters, optimizer="sgd", learning_rate=rate, weight_decay=decay / rate, momentum=0.85
            )

        return [
            ParameterGroup(
                parameters=filters,
                optimizer=config.optimizer,
                learning_rate=config.learning_rate,
                weight_decay=config.weight_decay,
                momentum=config.momentum,
            ),
            sgd(list(self.head.parameters()), HEAD_LEARNING_RATE),
            sgd(biases, BIAS_LEARNING_RATE),
        ]

    def serving(self) -> nn.Module:
        return Served(self)


class Served(nn.Module):
    """The whole function: raw image of any size in, class scores and label out."""

    def __init__(self, model: ImageClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        size = self.model.config.image_size
        x = F.interpolate(image.permute(0, 3, 1, 2).float(), (size, size), mode="bilinear", antialias=True)
        x = self.model.normalise(x)
        scores = self.model(x).softmax(dim=1)
        if self.model.config.flip_average:
            scores = 0.5 * (scores + self.model(x.flip(3)).softmax(dim=1))
        return scores, scores.argmax(dim=1)


class _Stage(nn.Module):
    """(batch, c_in, h, w) -> (batch, c_out, h // 2, w // 2): convolve, pool, normalise; then add a residual branch.

    Pooling first leaves the memory-bound steps after it a quarter of the elements.
    """

    def __init__(self, c_in: int, c_out: int, norm_momentum: float) -> None:
        super().__init__()
        self.conv, self.norm = Conv3x3(c_in, c_out), _Norm(c_out, norm_momentum)
        self.branch_conv, self.branch_norm = Conv3x3(c_out, c_out), _Norm(c_out, norm_momentum)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.norm(F.max_pool2d(self.conv(x), 2)))
        return x + F.silu(self.branch_norm(self.branch_conv(x)))


class _Norm(nn.BatchNorm2d):
    """Batch norm whose scale stays 1: only the bias is learned."""

    def __init__(self, channels: int, momentum: float) -> None:
        super().__init__(channels, momentum=momentum)
        self.weight.requires_grad_(False)


@torch.no_grad()
def whitening_filters(images: Tensor, kernel: int, kept: int) -> Tensor:
    """PCA whitening of patches, largest variance first, then the negatives: (2 * kept, 3, kernel, kernel)."""
    patches = images.unfold(2, kernel, 1).unfold(3, kernel, 1)  # (n, 3, h, w, kernel, kernel)
    rows = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3 * kernel**2)
    values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
    filters = (vectors / (values + WHITENING_EPSILON).sqrt()).T.reshape(-1, 3, kernel, kernel).flip(0)[:kept]
    return torch.cat((filters, -filters))
