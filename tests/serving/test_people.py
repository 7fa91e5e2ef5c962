"""Images and named fields: the forms for people, chosen from the card alone."""

import struct
import warnings
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import orjson
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from drillyard.core.contract import ModelCard, TensorSpec
from serving.protocol import people
from serving.protocol.errors import RequestError
from serving.protocol.images import QUICK_BYTES, QUICK_PIXELS, decode_image, is_quick, silence_pillow
from tests.serving.conftest import status_of
from tests.support.tiny_models import CLASSES, FEATURES

PIXELS = 1_000_000


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (7, 5)) -> bytes:
    buffer = BytesIO()
    Image.new(mode, size, color=128).save(buffer, kind)
    return buffer.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG whose header claims a size; what follows would decompress to it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def refused(body: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        decode_image(body, max_pixels=PIXELS)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "I;16")],
)
def test_every_usual_mode_becomes_rgb(kind: str, mode: str) -> None:
    pixels = decode_image(encoded(kind, mode), max_pixels=PIXELS)
    assert pixels.shape == (5, 7, 3)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("size", [(50_000, 50_000), (2**31 - 1, 2**31 - 1), (2_000, 2_000)])
def test_a_decompression_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    error = refused(png_that_claims(*size))
    assert (error.status, "pixels" in error.message) == (413, True)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_truncated_images_are_damaged(kind: str) -> None:
    whole = encoded(kind, size=(64, 64))
    assert refused(whole[: len(whole) // 2]).status == 400


def test_other_formats_and_empty_bodies_are_refused() -> None:
    assert "expected the bytes of a JPEG or PNG" in refused(encoded("GIF", "P")).message
    assert "empty" in refused(b"").message


def with_true_checksums(png: bytes) -> bytes:
    """A damaged PNG whose chunks' checksums fit again, so that decoders look at what is in them."""
    fixed, at = bytearray(png[:8]), 8
    while at + 12 <= len(png) and at + 12 + (size := struct.unpack(">I", png[at : at + 4])[0]) <= len(png):
        content = png[at + 4 : at + 8 + size]
        fixed += struct.pack(">I", size) + content + struct.pack(">I", zlib.crc32(content))
        at += 12 + size
    return bytes(fixed) + png[at:]


PICTURES = [encoded("JPEG"), encoded("JPEG", "CMYK"), encoded("PNG"), encoded("PNG", "P"), encoded("PNG", "I;16")]


@settings(max_examples=250, deadline=None, derandomize=True)
@given(
    st.sampled_from(PICTURES),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6),
    st.binary(max_size=20),
    st.booleans(),
)
def test_any_bytes_decode_or_are_refused_with_4xx(
    picture: bytes, changes: list[tuple[int, int]], noise: bytes, cut: bool
) -> None:
    """Noise, whole images with bytes changed, cut short or with something behind, with and without true checksums."""
    damaged = bytearray(picture)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    body = bytes(damaged[: len(damaged) // 2] if cut else damaged) + noise
    for sent in (noise, body, with_true_checksums(body)):
        status = status_of(lambda sent=sent: decode_image(sent, max_pixels=PIXELS))
        assert status == 200 or 400 <= status < 500


def test_a_palette_image_without_its_palette_is_damaged() -> None:
    """Found by fuzzing: Pillow answers with an AssertionError that says nothing."""
    buffer = BytesIO()
    Image.effect_noise((7, 5), 50).convert("P").save(buffer, "PNG", transparency=0)
    error = refused(with_true_checksums(buffer.getvalue().replace(b"PLTE", b"PLTA")))
    assert (error.status, "damaged: AssertionError" in error.message) == (400, True)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_is_quick_to_decode_is_known_before(kind: str) -> None:
    assert is_quick(encoded(kind, size=(32, 32)))
    assert is_quick(b"no picture at all")
    side = int(QUICK_PIXELS**0.5) + 1
    even = encoded(kind, size=(side, side))
    assert len(even) < QUICK_BYTES, "many pixels, few bytes"
    assert not is_quick(even)
    assert not is_quick(encoded(kind) + bytes(QUICK_BYTES))


def test_pillows_warnings_leave_nothing_behind_in_a_server() -> None:
    """Each bomb below Pillow's own limit is warned of in other words, which Python would keep."""
    with warnings.catch_warnings():
        warnings.resetwarnings()
        silence_pillow()
        before = len(getattr(PIL.Image, "__warningregistry__", {}))
        for width in range(100_000, 100_020):
            assert refused(png_that_claims(width, 1000)).status == 413
        assert len(getattr(PIL.Image, "__warningregistry__", {})) <= max(before, 1)


def test_the_form_follows_from_the_tensors(cards: dict[str, ModelCard]) -> None:
    assert people.form_of(cards["vision"]) is people.Form.IMAGE
    assert people.form_of(cards["fraud"]) is people.Form.FIELDS
    odd = cards["fraud"].model_copy(update={"inputs": (TensorSpec(name="x", dtype="FP64", shape=(-1, 2)),)})
    assert people.form_of(odd) is people.Form.NONE
    with pytest.raises(RequestError, match="/v2/models/fraud/infer"):
        people.decode(odd, "application/json", b"{}", max_pixels=PIXELS)


def test_named_fields_take_the_cards_order(cards: dict[str, ModelCard]) -> None:
    fields = {name: float(i) for i, name in enumerate(FEATURES)}
    body = orjson.dumps(dict(reversed(fields.items())))
    features = people.decode(cards["fraud"], "application/json", body, max_pixels=PIXELS)["features"]
    assert features.tolist() == [list(range(29))]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"V3": ...}, "field V3 is missing"),
        ({"Time": 1}, "field 'Time' is not known"),
        ({"V3": "1"}, "field V3='1' is not valid; expected a finite number"),
        ({"V3": None}, "field V3=None"),
        ({"V3": True}, "field V3=True"),
        ({"Amount": 1e39}, "field Amount=1e+39 is not valid; expected a finite number"),
    ],
)
def test_a_wrong_field_is_named(cards: dict[str, ModelCard], change: dict[str, Any], words: str) -> None:
    fields = {key: value for key, value in (dict.fromkeys(FEATURES, 0.5) | change).items() if value is not ...}
    with pytest.raises(RequestError) as caught:
        people.decode(cards["fraud"], "application/json", orjson.dumps(fields), max_pixels=PIXELS)
    assert caught.value.status == 400
    assert words in caught.value.message


def test_a_wrong_content_type_is_415(cards: dict[str, ModelCard]) -> None:
    for name, given_type in (("vision", "application/json"), ("fraud", "image/png")):
        with pytest.raises(RequestError) as caught:
            people.decode(cards[name], given_type, b"{}", max_pixels=PIXELS)
        assert caught.value.status == 415


def test_answers_carry_labels(cards: dict[str, ModelCard]) -> None:
    scores = np.arange(10, dtype=np.float32)[None]
    answer = people.encode(cards["vision"], {"scores": scores, "label": np.array([9])})
    assert answer["label"] == CLASSES[9]
    assert list(answer["scores"]) == list(CLASSES)

    reasons = np.zeros((1, 29), dtype=np.float32)
    reasons[0, 28], reasons[0, 3] = 0.75, 0.25
    outputs = {"score": np.array([0.5], np.float32), "is_fraud": np.array([True]), "reasons": reasons}
    answer = people.encode(cards["fraud"], outputs)
    assert (answer["score"], answer["is_fraud"], answer["threshold"]) == (0.5, True, 0.5)
    assert answer["reasons"][:2] == [{"feature": "Amount", "share": 0.75}, {"feature": "V4", "share": 0.25}]
    assert len(answer["reasons"]) == people.TOP_REASONS
