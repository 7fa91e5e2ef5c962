"""The binary tensor data extension: what is encoded is decoded, bit for bit; everything else is refused by name."""

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drillyard.core.contract import Dtype, TensorSpec
from serving.protocol import binary, v2
from serving.protocol.errors import RequestError
from serving.protocol.tensors import NUMPY
from tests.serving.conftest import status_of
from tests.serving.test_v2 import make_card

CARD = make_card(TensorSpec(name="x", dtype="FP32", shape=(-1, 3)), TensorSpec(name="y", dtype="UINT8", shape=(-1,)))
X, Y = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([7, 255], dtype=np.uint8)


def head(*, x: Any = ..., y: Any = ..., **request: Any) -> bytes:
    """The JSON of a request with both tensors as binary data; a keyword replaces parts of one, ... takes a part out."""
    inputs = []
    for name, array, changes in (("x", X, x), ("y", Y, y)):
        datatype = "FP32" if name == "x" else "UINT8"
        tensor = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        tensor["parameters"] = {"binary_data_size": array.nbytes}
        tensor |= {} if changes is ... else changes
        inputs.append({key: value for key, value in tensor.items() if value is not ...})
    return orjson.dumps({"inputs": inputs} | request)


def decode(json_part: bytes, tail: bytes, json_bytes: int | None = None) -> v2.InferRequest:
    return v2.decode_infer_request(json_part + tail, CARD, max_rows=8, json_bytes=json_bytes or len(json_part))


def test_tensors_take_their_bytes_in_the_order_of_the_json() -> None:
    decoded = decode(head(), X.tobytes() + Y.tobytes())
    np.testing.assert_array_equal(decoded.inputs["x"], X, strict=True)
    np.testing.assert_array_equal(decoded.inputs["y"], Y, strict=True)
    document = orjson.loads(head())
    swapped = orjson.dumps({"inputs": document["inputs"][::-1]})
    decoded = decode(swapped, Y.tobytes() + X.tobytes())
    np.testing.assert_array_equal(decoded.inputs["x"], X, strict=True)


def test_one_tensor_may_be_json_and_the_other_binary() -> None:
    decoded = decode(head(y={"parameters": ..., "data": [7, 255]}), X.tobytes())
    np.testing.assert_array_equal(decoded.inputs["y"], Y, strict=True)
    np.testing.assert_array_equal(decoded.inputs["x"], X, strict=True)


def test_a_json_of_a_multiple_of_the_element_size_means_no_copy() -> None:
    json_part = head()
    json_part += b" " * (-len(json_part) % 8)
    body = json_part + X.tobytes() + Y.tobytes()
    decoded = v2.decode_infer_request(body, CARD, max_rows=8, json_bytes=len(json_part))
    whole = np.frombuffer(body, dtype=np.uint8)
    assert all(np.shares_memory(array, whole) for array in decoded.inputs.values())


@pytest.mark.parametrize(
    ("outputs", "all_binary", "expected"),
    [
        (None, True, {"a", "b"}),
        (None, False, set()),
        ([{"name": "a"}], True, {"a"}),
        ([{"name": "a", "parameters": {"binary_data": False}}, {"name": "b"}], True, {"b"}),
        ([{"name": "a", "parameters": {"binary_data": True}}, {"name": "b"}], False, {"a"}),
        ([{"name": "a", "parameters": None}], False, set()),
    ],
)
def test_an_outputs_own_wish_goes_before_the_requests(outputs: Any, all_binary: bool, expected: set[str]) -> None:
    specs = tuple(TensorSpec(name=name, dtype="FP32", shape=(-1,)) for name in "ab")
    card = make_card(TensorSpec(name="x", dtype="FP32", shape=(-1,)), outputs=specs)
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "data": [0]}
    document = {"inputs": [tensor], "parameters": {"binary_data_output": all_binary}, "outputs": outputs}
    assert v2.decode_infer_request(orjson.dumps(document), card, max_rows=1).binary_outputs == expected


TAIL = X.tobytes() + Y.tobytes()


@pytest.mark.parametrize(
    ("json_part", "tail", "words"),
    [
        (head(), TAIL[:-1], "inputs[y].parameters.binary_data_size=2 is not valid"),
        (
            head(),
            b"",
            "inputs[x].parameters.binary_data_size=24 is not valid; expected a whole number of bytes, at most",
        ),
        (head(), TAIL + b"\0", "1 bytes follow the last tensor's data; expected none"),
        (head(x={"parameters": {"binary_data_size": 20}}), TAIL, "inputs[x].data has 20 bytes"),
        (head(x={"parameters": {"binary_data_size": -1}}), TAIL, "binary_data_size=-1 is not valid"),
        (head(x={"parameters": {"binary_data_size": True}}), TAIL, "binary_data_size=True is not valid"),
        (head(x={"parameters": {"binary_data_size": 24.0}}), TAIL, "binary_data_size=24.0 is not valid"),
        (head(x={"parameters": {"binary_data_size": None}}), TAIL, "binary_data_size=None is not valid"),
        (head(x={"data": [1, 2, 3, 4, 5, 6]}), TAIL, "is not valid beside data"),
        (head(x={"parameters": ...}), TAIL, "inputs[x].data is missing"),
        (head(x={"shape": [1, 3]}), TAIL, "shape [1, 3] of FP32 needs 12"),
        (head(x={"shape": [2, 4]}), TAIL, "expected [any, 3]"),
        (head(x={"shape": [9, 3]}), TAIL, "at most 8 rows"),
        (head(x={"datatype": "FP64"}), TAIL, "expected FP32"),
        (head(), np.full((2, 3), np.nan, np.float32).tobytes() + Y.tobytes(), "inputs[x].data[0]=nan is not valid"),
        (head()[:-1] + b" ", TAIL, "not valid JSON"),
    ],
)
def test_what_is_wrong_is_named(json_part: bytes, tail: bytes, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        decode(json_part, tail)
    assert 400 <= caught.value.status < 500
    assert words in caught.value.message


def arrays(dtype: Dtype) -> st.SearchStrategy[Any]:
    finite = {"allow_nan": False, "allow_infinity": False} if dtype in ("FP32", "FP64") else None
    return hnp.arrays(NUMPY[dtype], hnp.array_shapes(min_dims=1, max_dims=3, max_side=4), elements=finite)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(NUMPY)).flatmap(lambda d: st.tuples(st.just(d), arrays(d))), st.text(max_size=9))
def test_what_is_encoded_is_decoded(case: tuple[Dtype, Any], request_id: str) -> None:
    """Response framing and request framing are the same but for where the parameters stand."""
    dtype, array = case
    spec = TensorSpec(name="t", dtype=dtype, shape=(-1,) * array.ndim)
    card = make_card(spec, outputs=(spec,))
    body, json_bytes = v2.encode_infer_response(card, request_id, {"t": array}, frozenset({"t"}))
    assert json_bytes is not None
    answer = orjson.loads(body[:json_bytes])
    assert (answer["id"], answer["outputs"][0]["parameters"]) == (request_id, {"binary_data_size": array.nbytes})
    request = orjson.dumps({"id": request_id, "inputs": answer["outputs"]})
    decoded = v2.decode_infer_request(request + body[json_bytes:], card, max_rows=8, json_bytes=len(request))
    np.testing.assert_array_equal(decoded.inputs["t"], array, strict=True)


sizes = st.integers(-3, 40) | st.sampled_from([2**31, 2**63, 2**64]) | st.none() | st.booleans() | st.text(max_size=2)
framed = st.builds(
    lambda x, y, shape, extra: json.dumps(
        {
            "inputs": [
                {"name": "x", "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": x}},
                {"name": "y", "datatype": "UINT8", "shape": [2], "parameters": {"binary_data_size": y}},
            ][:extra]
        }
    ).encode(),
    st.just(24) | sizes,
    st.just(2) | sizes,
    st.just([2, 3]) | st.lists(st.integers(-1, 2**40), max_size=3),
    st.integers(0, 2),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(framed, st.just(TAIL) | st.binary(max_size=40), st.none() | st.binary(max_size=6))
def test_any_framing_decodes_or_is_refused_with_4xx(json_part: bytes, tail: bytes, header: bytes | None) -> None:
    """The header's value, the JSON's sizes and what follows may all lie; nothing but RequestError escapes."""
    body = json_part + tail
    value = str(len(json_part)).encode() if header is None else header

    def decoded() -> v2.InferRequest:
        return v2.decode_infer_request(body, CARD, max_rows=8, json_bytes=binary.json_bytes(value, len(body)))

    status = status_of(decoded)
    assert status == 200 or 400 <= status < 500
    if status == 200:
        inputs = decoded().inputs
        assert sum(array.nbytes for array in inputs.values()) == len(tail), "a byte was not looked at"
        assert np.isfinite(inputs["x"]).all()
