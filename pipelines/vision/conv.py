"""A 3x3 convolution that starts as the identity and takes a faster weight gradient where the library is slow."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TILE = 16  # images laid side by side
NARROW = 8  # pixels; maps up to this width are tiled


class Conv3x3(nn.Conv2d):
    """(batch, c_in, h, w) -> (batch, c_out, h, w), without bias."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, 3, padding=1, bias=False)
        with torch.no_grad():
            nn.init.dirac_(self.weight[: min(c_in, c_out)])

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.device.type == "cpu" and x.dtype == torch.bfloat16 and _tileable(x):
            return _TiledGradient.apply(x, self.weight.to(torch.bfloat16))  # type: ignore[no-untyped-call]
        return super().forward(x)


def _tileable(x: Tensor) -> bool:
    return torch.is_grad_enabled() and x.shape[-1] <= NARROW and x.shape[0] % TILE == 0


class _TiledGradient(torch.autograd.Function):
    """The convolution itself, with its weight gradient taken over a wide canvas of several images.

    oneDNN's bf16 weight gradient adds into the whole filter bank once an output row, which is slow on narrow maps.
    Images side by side, one zero column apart, give the same sums in fewer and longer rows.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, padding=1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        grad_x = _backward(grad, x, weight, [True, False, False])[0]
        grad_weight = _backward(_side_by_side(grad), _side_by_side(x), weight, [False, True, False])[1]
        return grad_x, grad_weight


def _backward(grad: Tensor, x: Tensor, weight: Tensor, wanted: list[bool]) -> tuple[Tensor, Tensor, Tensor]:
    return torch.ops.aten.convolution_backward(grad, x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted)


def _side_by_side(x: Tensor) -> Tensor:
    """(batch, c, h, w) -> (batch / TILE, c, h, TILE * (w + 1)), channels last, a zero column after each image."""
    n, c, h, w = x.shape
    rows = F.pad(x.permute(0, 2, 3, 1), (0, 0, 0, 1)).reshape(n // TILE, TILE, h, w + 1, c)
    return rows.transpose(1, 2).reshape(n // TILE, h, TILE * (w + 1), c).permute(0, 3, 1, 2)
