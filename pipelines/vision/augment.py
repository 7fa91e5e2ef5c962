"""Augmentation on tensors: a random crop and flip of each image, and smaller images early in training."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done to training images."""

    crop_padding: int = 2  # pixels of reflected border within which each image is shifted
    flip: bool = True  # mirror half of the images
    sizes: tuple[tuple[float, int], ...] = ()  # (until this share of training, side); then the full side


def apply(images: Tensor, config: Augmentation, full_side: int, progress: float, generator: torch.Generator) -> Tensor:
    """(batch, height, width, 3) uint8 -> (batch, side, side, 3), shifted and flipped."""
    side = next((side for until, side in config.sizes if progress < until), full_side)
    return random_crop(resize(images, side), config.crop_padding, config.flip, generator)


def resize(images: Tensor, side: int) -> Tensor:
    """(batch, h, w, 3) uint8 -> (batch, side, side, 3) uint8, antialiased bilinear."""
    if images.shape[1:3] == (side, side):
        return images
    channels_first = images.permute(0, 3, 1, 2)
    if images.is_cuda:  # where torch has this filter for floating point only
        channels_first = channels_first.float()
    resized = F.interpolate(channels_first, (side, side), mode="bilinear", antialias=True)
    return resized.round().to(torch.uint8).permute(0, 2, 3, 1)


def random_crop(images: Tensor, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Shift each image by up to `padding` pixels inside its reflected border; mirror each with chance one half."""
    count, side = images.shape[:2]
    span = torch.arange(side)

    def offsets() -> Tensor:
        return torch.randint(-padding, padding + 1, (count, 1), generator=generator) + span  # (batch, side)

    rows, columns = offsets(), offsets()
    if flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    rows, columns = _reflect(rows, side).to(images.device), _reflect(columns, side).to(images.device)
    batch = torch.arange(count, device=images.device)
    return images[batch[:, None, None], rows[:, :, None], columns[:, None, :]]


def _reflect(index: Tensor, side: int) -> Tensor:
    """-1 -> 1, side -> side - 2: as a mirror at the edge pixel."""
    return (side - 1) - ((side - 1) - index.abs()).abs()
