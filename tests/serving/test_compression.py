"""Compressed bodies: what was compressed comes out, and a bomb costs no more than the limit."""

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.protocol.compression import Decompressor
from serving.protocol.errors import RequestError
from tests.serving.conftest import status_of

LIMIT = 2**21
STEP = 2**18  # of the decompressor; sizes around its multiples are where an end could be missed


def unpacked(coding: bytes, body: bytes, chunk_bytes: int, limit: int = LIMIT) -> bytes:
    decompressor = Decompressor(coding, limit)
    chunks = [body[i : i + chunk_bytes] for i in range(0, len(body), chunk_bytes)]
    pieces = [piece for chunk in chunks for piece in decompressor.feed(chunk)]
    decompressor.finish()
    return b"".join(pieces)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from([(b"gzip", gzip.compress), (b"x-gzip", gzip.compress), (b"Deflate", zlib.compress)]),
    st.integers(0, 3).flatmap(lambda steps: st.integers(-260, 260).map(lambda d: max(0, steps * STEP + d))),
    st.binary(min_size=1, max_size=30),
    st.sampled_from([1, 7, 4096, 2**20]),
)
def test_what_was_compressed_comes_out(case: object, size: int, pattern: bytes, chunk_bytes: int) -> None:
    coding, compress = case  # type: ignore[misc]
    body = (pattern * (size // len(pattern) + 1))[:size]
    assert unpacked(coding, compress(body), chunk_bytes) == body


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.binary(max_size=60), st.sampled_from([b"gzip", b"deflate"]), st.integers(0, 100), st.integers(0, 255))
def test_damaged_bodies_are_refused_with_400(noise: bytes, coding: bytes, at: int, value: int) -> None:
    whole = gzip.compress(b"abc" * 50) if coding == b"gzip" else zlib.compress(b"abc" * 50)
    damaged = bytearray(whole)
    damaged[at % len(damaged)] = value
    for body in (noise, bytes(damaged), bytes(damaged) + noise):
        assert status_of(lambda body=body: unpacked(coding, body, 16)) in (200, 400)  # type: ignore[misc]
    assert status_of(lambda: unpacked(coding, whole[:-1], 16)) == 400
    assert status_of(lambda: unpacked(coding, whole + b"\0", 16)) == 400


@pytest.mark.parametrize("chunk_bytes", [1000, 2**20])
def test_a_bomb_is_413_and_costs_no_more_memory_than_the_limit(chunk_bytes: int) -> None:
    bomb = gzip.compress(bytes(20 * LIMIT))
    tracemalloc.start()
    try:
        with pytest.raises(RequestError) as caught:
            unpacked(b"gzip", bomb, chunk_bytes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.status == 413
    assert peak < LIMIT + len(bomb) + 4 * STEP  # what was accepted, the sender's own copy, and the step under way


def test_input_without_output_is_bounded_too() -> None:
    empty_block = b"\0\0\0\xff\xff"  # a stored block of length 0, which may be repeated without end
    body = zlib.compress(b"")[:2] + empty_block * 1000
    with pytest.raises(RequestError) as caught:
        unpacked(b"deflate", body, 100, limit=4000)
    assert caught.value.status == 413


def test_an_unknown_coding_is_named() -> None:
    with pytest.raises(RequestError, match="content-encoding='br' is not valid; expected gzip, deflate or identity"):
        Decompressor(b"br", LIMIT)
