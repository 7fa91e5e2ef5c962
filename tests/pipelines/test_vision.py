"""Vision: readers, augmentation, the tiled gradient and whitening."""

import io
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from drillyard.core.errors import SourceError
from pipelines.vision import augment
from pipelines.vision.conv import Conv3x3
from pipelines.vision.data import read_idx, read_parquet
from pipelines.vision.model import whitening_filters


def idx(values: np.ndarray) -> bytes:
    return b"\x00\x00\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def test_idx_round_trip(tmp_path) -> None:
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "f").write_bytes(idx(values))
    np.testing.assert_array_equal(read_idx(tmp_path / "f"), values)


@settings(deadline=None)
@given(raw=st.binary(max_size=40))
def test_damaged_idx_is_a_source_error(tmp_path_factory, raw) -> None:
    path = tmp_path_factory.mktemp("idx") / "f"
    path.write_bytes(raw)
    try:
        read_idx(path)
    except SourceError:
        return
    assert raw[:3] == b"\x00\x00\x08"  # by chance a whole file


def test_truncated_idx_is_a_source_error(tmp_path) -> None:
    (tmp_path / "f").write_bytes(idx(np.zeros((4, 4), np.uint8))[:-3])
    with pytest.raises(SourceError, match="holds 13 values, its header says 16"):
        read_idx(tmp_path / "f")


def test_parquet_in_the_hubs_layout(tmp_path) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    rows = []
    for index, picture in enumerate(pictures):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        rows.append({"img": {"bytes": buffer.getvalue(), "path": None}, "label": index})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    found = read_parquet(tmp_path / "p.parquet")
    np.testing.assert_array_equal(found.image, pictures)
    assert found.label.tolist() == [0, 1, 2]


@given(side=st.integers(4, 12), padding=st.integers(0, 3), seed=st.integers(0, 99))
def test_crop_shifts_within_a_mirrored_border(side, padding, seed) -> None:
    images = torch.randint(0, 256, (4, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = augment.random_crop(images, padding, False, torch.Generator().manual_seed(seed))
    padded = np.pad(images.numpy(), ((0, 0), (padding, padding), (padding, padding), (0, 0)), mode="reflect")
    for picture, border in zip(found.numpy(), padded, strict=True):
        windows = [border[y : y + side, x : x + side] for y in range(2 * padding + 1) for x in range(2 * padding + 1)]
        assert any(np.array_equal(picture, window) for window in windows)


def test_no_padding_and_no_flip_changes_nothing_and_flip_mirrors_some() -> None:
    images = torch.randint(0, 256, (64, 6, 6, 3), dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(augment.random_crop(images, 0, False, generator), images)
    flipped = augment.random_crop(images, 0, True, generator)
    mirrored = torch.tensor([torch.equal(a, b.flip(1)) for a, b in zip(flipped, images, strict=True)])
    assert 16 < mirrored.sum() < 48


@pytest.mark.parametrize("width", [3, 7, 8])
def test_tiled_gradient_equals_the_plain_one(width) -> None:
    torch.manual_seed(0)
    conv = Conv3x3(32, 32)
    torch.nn.init.normal_(conv.weight, std=0.1)
    x = torch.randn(32, 32, width, width).bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    plain_x = x.detach().clone().requires_grad_()
    plain_weight = conv.weight.detach().clone().requires_grad_()
    target = torch.randn(32, 32, width, width)
    (conv(x).float() * target).sum().backward()
    (F.conv2d(plain_x.float(), plain_weight, padding=1) * target).sum().backward()
    scale = plain_weight.grad.abs().max()
    torch.testing.assert_close(conv.weight.grad / scale, plain_weight.grad / scale, atol=0.02, rtol=0)
    torch.testing.assert_close(x.grad.float(), plain_x.grad.float(), atol=0.05, rtol=0.05)


def test_whitened_patches_are_uncorrelated_with_unit_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    images = F.avg_pool2d(torch.randn(200, 3, 18, 18, generator=generator), 3, stride=1)
    images = images / images.std()
    filters = whitening_filters(images, kernel=2, kept=12)
    assert filters.shape == (24, 3, 2, 2)
    torch.testing.assert_close(filters[12:], -filters[:12])
    responses = F.conv2d(images, filters[:12]).permute(1, 0, 2, 3).reshape(12, -1)
    torch.testing.assert_close(torch.cov(responses), torch.eye(12), atol=0.05, rtol=0)
