"""Raw little-endian bytes as arrays: views on what arrived, with every element held against its type."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drillyard.core.contract import Dtype, TensorSpec
from serving.protocol.errors import RequestError
from serving.protocol.tensors import NUMPY, is_element, raw_to_array


def spec_of(dtype: Dtype, dims: int = 1) -> TensorSpec:
    return TensorSpec(name="x", dtype=dtype, shape=(-1,) * dims)


def refused(dtype: Dtype, raw: bytes, shape: tuple[int, ...]) -> str:
    with pytest.raises(RequestError) as caught:
        raw_to_array(spec_of(dtype), raw, shape)
    assert caught.value.status == 400
    return caught.value.message


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(NUMPY)).flatmap(
        lambda d: st.tuples(st.just(d), hnp.arrays(NUMPY[d], hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)))
    ),
    st.integers(0, 9),
)
def test_raw_bytes_become_the_array_they_came_from_or_name_the_first_bad_element(
    case: tuple[Dtype, Any], offset: int
) -> None:
    """Bit for bit, wherever in a body the bytes begin."""
    dtype, array = case
    body = memoryview(bytes(offset) + array.tobytes())
    bad = [i for i, value in enumerate(array.ravel().tolist()) if not is_element(dtype, value)]
    try:
        decoded = raw_to_array(spec_of(dtype, array.ndim), body[offset:], array.shape)
    except RequestError as error:
        assert f"inputs[x].data[{bad[0]}]=" in error.message
    else:
        assert not bad
        assert decoded.flags.aligned
        np.testing.assert_array_equal(decoded, array, strict=True)


@pytest.mark.parametrize("dtype", sorted(NUMPY))
def test_aligned_data_is_not_copied(dtype: Dtype) -> None:
    body = bytes(64)  # CPython places the contents of bytes objects at multiples of 16
    decoded = raw_to_array(spec_of(dtype), memoryview(body)[8:24], (16 // np.dtype(NUMPY[dtype]).itemsize,))
    assert np.shares_memory(decoded, np.frombuffer(body, dtype=np.uint8))
    assert not decoded.flags.writeable


def test_what_is_wrong_is_named() -> None:
    assert "has 11 bytes, which is not valid; shape [3] of FP32 needs 12" in refused("FP32", bytes(11), (3,))
    assert "shape [3] of FP32 needs 12" in refused("FP32", bytes(13), (3,))
    assert "needs" in refused("UINT8", b"", (2**40, 2**40, 3))
    infinite = np.array([1, np.inf, np.nan], dtype=np.float32).tobytes()
    assert "inputs[x].data[1]=inf is not valid; expected a finite number" in refused("FP32", infinite, (3,))
    assert "inputs[x].data[2]=2 is not valid; expected true or false (BOOL)" in refused("BOOL", b"\0\1\2", (3,))
