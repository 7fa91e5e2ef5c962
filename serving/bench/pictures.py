"""Pictures of a wanted file size, and the question each one asks of the route for people."""

import io
from collections.abc import Callable, Mapping
from math import sqrt

import numpy as np
import numpy.typing as npt
import orjson
from PIL import Image

from drillyard.core.contract import ModelCard
from serving.bench.workload import Arrays, Question, Workload

Pixels = npt.NDArray[np.uint8]


def noise(side: int) -> Pixels:
    """(side, side, 3), always the same; noise cannot be compressed, so sizes are predictable."""
    return np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)


def encode(pixels: Pixels, file_format: str) -> bytes:
    """A file as the format's default settings write it."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format)
    return file.getvalue()


def file_of_size(size_bytes: int, file_format: str) -> bytes:
    """A square picture whose file has that size within some percent."""
    bytes_per_pixel = len(encode(noise(256), file_format)) / 256**2
    return encode(noise(round(sqrt(size_bytes / bytes_per_pixel))), file_format)


def picture_workload(
    name: str, card: ModelCard, file: bytes, file_format: str, run: Callable[[Arrays], Arrays]
) -> Workload:
    """One picture, sent over and over; its answer names labels in place of positions."""
    pixels = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))

    def decode(_: Mapping[str, str], body: bytes) -> Arrays:
        answer = orjson.loads(body)
        scores = np.array([answer["scores"][label] for label in card.labels])
        return {"scores": scores, "label": np.array([card.labels.index(answer["label"])])}

    asked = Question(
        path=f"/predict/{card.name}",
        headers={"Content-Type": f"image/{file_format.lower()}"},
        body=file,
        decode=decode,
        expected=run({card.inputs[0].name: pixels[np.newaxis]}),
    )
    return Workload(name=name, rows=1, questions=(asked,))
