"""Labelled images as uint8 (n, height, width, 3) arrays."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_digits

from drillyard.core.contract import DatasetRef
from drillyard.core.errors import SourceError, UsageError
from drillyard.core.settings import Settings
from pipelines import sources
from pipelines.system import Dataset, Split

Array = np.ndarray[Any, Any]

FASHION_LABELS = (
    "t-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
CIFAR_LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIGIT_LABELS = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True, kw_only=True)
class Images:
    """Pictures and the index of each one's label."""

    image: Array  # (n, height, width, 3) uint8
    label: Array  # (n,) int64


def load(dataset: str, settings: Settings, say: Callable[[str], None] = lambda _: None) -> Dataset:
    """The named data set; the last tenth of its training images validates. Raises SourceError, UsageError."""
    if dataset == "digits":
        return _split_digits()
    readers = {"fashion-mnist": (read_fashion, FASHION_LABELS), "cifar10": (read_cifar, CIFAR_LABELS)}
    if dataset not in readers:
        raise UsageError("dataset", dataset, "fashion-mnist, cifar10 or digits")
    read, labels = readers[dataset]
    paths = sources.fetch(dataset, settings, say)
    train, test = read(paths)
    return split(train, test, labels, sources.fingerprint(dataset, paths))


def split(train: Images, test: Images, labels: tuple[str, ...], ref: DatasetRef) -> Dataset:
    """Hold the last tenth of the training images back for validation; the sets come shuffled by their authors."""
    first = len(train.label) * 9 // 10
    fit = {"image": train.image[:first], "label": train.label[:first]}
    held = {"image": train.image[first:], "label": train.label[first:]}
    return Dataset(
        ref=ref,
        labels=labels,
        fit=fit,
        fit_validation=held,
        train=Split(inputs={"image": fit["image"]}, truth=fit["label"]),
        validation=Split(inputs={"image": held["image"]}, truth=held["label"]),
        test=Split(inputs={"image": test.image}, truth=test.label),
    )


def read_fashion(paths: dict[str, Path]) -> tuple[Images, Images]:
    """Train and test images out of the four idx files, grey repeated to three channels."""

    def images(part: str) -> Images:
        grey = read_idx(paths[f"{part}-images-idx3-ubyte"])  # (n, 28, 28)
        return Images(image=_rgb(grey), label=read_idx(paths[f"{part}-labels-idx1-ubyte"]).astype(np.int64))

    return images("train"), images("t10k")


def read_idx(path: Path) -> Array:
    """An array of unsigned bytes in the IDX format (http://yann.lecun.com/exdb/mnist/). Raises SourceError."""
    raw = path.read_bytes()
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise SourceError(str(path), "is not an IDX file of unsigned bytes", "Delete it and fetch it again.")
    shape = np.frombuffer(raw, ">u4", count=raw[3], offset=4)
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3])
    if values.size != shape.prod():
        raise SourceError(str(path), f"holds {values.size} values, its header says {shape.prod()}", "Fetch it again.")
    return values.reshape(tuple(int(size) for size in shape))


def read_cifar(paths: dict[str, Path]) -> tuple[Images, Images]:
    """Train and test images out of the hub's Parquet layout (`img.bytes`, `label`)."""
    train, test = (read_parquet(paths[f"{part}-00000-of-00001.parquet"]) for part in ("train", "test"))
    return train, test


def read_parquet(path: Path) -> Images:
    """Pictures encoded as PNG or JPEG in column `img`, with `label` beside. Raises SourceError."""
    table = pq.read_table(path, columns=["img", "label"])
    pictures = [np.asarray(Image.open(io.BytesIO(row["bytes"])).convert("RGB")) for row in table["img"].to_pylist()]
    if len({picture.shape for picture in pictures}) != 1:
        raise SourceError(str(path), "holds pictures of several sizes", "Use the data set's own files.")
    return Images(image=np.stack(pictures), label=table["label"].to_numpy().astype(np.int64))


def _split_digits() -> Dataset:
    digits = load_digits()
    image = _rgb((digits.images * 15.9).astype(np.uint8))  # 8x8, grey levels 0..16
    label = digits.target.astype(np.int64)
    train, test = slice(0, 1400), slice(1400, None)
    return split(
        Images(image=image[train], label=label[train]),
        Images(image=image[test], label=label[test]),
        DIGIT_LABELS,
        sources.fingerprint("digits", {}),
    )


def _rgb(grey: Array) -> Array:
    return np.repeat(grey[..., None], 3, axis=-1)
