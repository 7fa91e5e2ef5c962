"""The friendly routes: an image or named numbers in, names and numbers out.

What a model takes and gives is read from its card's tensors and task, never from its name.
"""

from enum import Enum
from typing import Any

import numpy as np

from drillyard.core.contract import ModelCard
from serving.protocol import images
from serving.protocol.errors import RequestError, shown
from serving.protocol.tensors import VALID_FORM, Array, is_element
from serving.protocol.v2 import parse_object

TOP_REASONS = 5
IMAGE_TYPES = ("image/jpeg", "image/png", "application/octet-stream")
JSON_TYPES = ("application/json",)


class Form(Enum):
    """What a person sends to a model."""

    IMAGE = "image"  # the bytes of one JPEG or PNG
    FIELDS = "fields"  # a JSON object with one number for each feature
    NONE = "none"  # tensors only: the model has no form for people


def form_of(card: ModelCard) -> Form:
    """The form that fits the card's single input."""
    if len(card.inputs) != 1:
        return Form.NONE
    spec = card.inputs[0]
    if spec.dtype == "UINT8" and len(spec.shape) == 4 and spec.shape[3] == 3:
        return Form.IMAGE
    if spec.dtype == "FP32" and spec.shape == (-1, len(card.labels)):
        return Form.FIELDS
    return Form.NONE


def decode(card: ModelCard, content_type: str, body: bytes, *, max_pixels: int) -> dict[str, Array]:
    """A person's request as a batch of one. Raises RequestError."""
    form = form_of(card)
    if form is Form.NONE:
        raise RequestError(404, f"model {card.name} takes tensors only; use /v2/models/{card.name}/infer")
    _check_type(content_type, IMAGE_TYPES if form is Form.IMAGE else JSON_TYPES)
    spec = card.inputs[0]
    if form is Form.IMAGE:
        pixels = images.decode_image(body, max_pixels=max_pixels)  # (height, width, 3)
        if any(want not in (-1, have) for want, have in zip(spec.shape[1:], pixels.shape, strict=True)):
            height, width = pixels.shape[:2]
            raise RequestError(400, f"the image has {width}x{height} pixels; expected {spec.shape[2]}x{spec.shape[1]}")
        return {spec.name: pixels[np.newaxis]}
    return {spec.name: _features(card, parse_object(body))}


def is_quick(card: ModelCard, body: bytes) -> bool:
    """Whether `decode` takes well below a millisecond."""
    return form_of(card) is not Form.IMAGE or images.is_quick(body)


def encode(card: ModelCard, outputs: dict[str, Array]) -> dict[str, Any]:
    """The model's answer to a batch of one, with the card's labels in place of positions."""
    answer: dict[str, Any] = {"model": card.name, "version": card.version}
    for spec in card.outputs:
        value = outputs[spec.name][0]
        if value.ndim == 0:
            position = spec.dtype == "INT64" and card.task == "classification"
            answer[spec.name] = card.labels[int(value)] if position else value.item()
        elif card.task == "classification":
            answer[spec.name] = dict(zip(card.labels, value.tolist(), strict=True))
        else:
            top = np.argsort(value)[::-1][:TOP_REASONS]
            answer[spec.name] = [{"feature": card.labels[i], "share": value[i].item()} for i in top]
    if card.threshold is not None:
        answer["threshold"] = card.threshold.value
    return answer


def _check_type(content_type: str, accepted: tuple[str, ...]) -> None:
    given = content_type.partition(";")[0].strip().lower()
    # curl says x-www-form-urlencoded when it is not told otherwise: the decoder that follows is the better judge.
    if given not in ("", "application/x-www-form-urlencoded", *accepted):
        raise RequestError(415, f"content-type={shown(given)} is not valid; expected {' or '.join(accepted)}")


def _features(card: ModelCard, document: dict[str, Any]) -> Array:
    """(1, features) in the card's order."""
    for name in document:
        if name not in card.labels:
            raise RequestError(400, f"field {shown(name)} is not known; expected {', '.join(card.labels)}")
    for name in card.labels:
        if name not in document:
            raise RequestError(400, f"field {name} is missing; expected a number for each of {', '.join(card.labels)}")
        if not is_element("FP32", document[name]):
            message = f"field {name}={shown(document[name])} is not valid; expected {VALID_FORM['FP32']}"
            raise RequestError(400, message)
    return np.array([[document[name] for name in card.labels]], dtype=np.float32)
