"""gRPC messages to arrays and back: what was sent arrives, and whatever is wrong with a message is named."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drillyard.core.contract import Dtype, ModelCard, TensorSpec
from serving.grpc import open_inference_pb2 as pb
from serving.grpc.codec import CONTENTS, decode_infer_request, encode_infer_response
from serving.protocol.errors import RequestError
from serving.protocol.tensors import NUMPY
from tests.serving.conftest import status_of

MAX_ROWS = 64
DTYPES: tuple[Dtype, ...] = ("FP32", "FP64", "UINT8", "INT64", "BOOL")


def card_of(card: ModelCard, *inputs: TensorSpec) -> ModelCard:
    """A card of those inputs, answering with the same tensors."""
    return card.model_copy(update={"inputs": inputs, "outputs": inputs})


def message_of(arrays: dict[str, Any], dtypes: dict[str, Dtype], *, raw: bool) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="fraud", id="q")
    for name, array in arrays.items():
        tensor = message.inputs.add(name=name, datatype=dtypes[name], shape=array.shape)
        if raw:
            message.raw_input_contents.append(array.astype(array.dtype.newbyteorder("<")).tobytes())
        else:
            getattr(tensor.contents, CONTENTS[dtypes[name]]).extend(array.ravel().tolist())
    return message


@st.composite
def tensors(draw: Any) -> tuple[dict[str, Any], dict[str, Dtype]]:
    """One to three arrays of any of the types with equal first dimension, and their types by name."""
    rows = draw(st.integers(1, 4))
    arrays: dict[str, Any] = {}
    dtypes: dict[str, Dtype] = {}
    for number in range(draw(st.integers(1, 3))):
        dtype = draw(st.sampled_from(DTYPES))
        shape = (rows, *draw(st.lists(st.integers(1, 3), max_size=2)))
        kind = np.dtype(NUMPY[dtype])
        data = draw(
            st.binary(min_size=kind.itemsize * int(np.prod(shape)), max_size=kind.itemsize * int(np.prod(shape)))
        )
        array = np.frombuffer(data, np.uint8) & 1 if dtype == "BOOL" else np.frombuffer(data, kind)
        if kind.kind == "f":
            array = np.nan_to_num(array)
        arrays[f"t{number}"] = array.astype(kind).reshape(shape)
        dtypes[f"t{number}"] = dtype
    return arrays, dtypes


@settings(max_examples=60, derandomize=True, deadline=None)
@given(sent=tensors(), raw=st.booleans(), wire=st.booleans())
def test_what_was_sent_arrives_bit_for_bit(cards: dict[str, ModelCard], sent: Any, raw: bool, wire: bool) -> None:
    arrays, dtypes = sent
    specs = [TensorSpec(name=n, dtype=dtypes[n], shape=(-1, *a.shape[1:])) for n, a in arrays.items()]
    card = card_of(cards["fraud"], *specs)
    message = message_of(arrays, dtypes, raw=raw)
    if wire:
        message = pb.ModelInferRequest.FromString(message.SerializeToString())
    request = decode_infer_request(message, card, max_rows=MAX_ROWS)
    response = encode_infer_response(card, request.id, request.inputs, raw=raw)
    assert (response.id, response.model_name, response.model_version) == ("q", "fraud", "1")
    for index, (name, array) in enumerate(arrays.items()):
        assert request.inputs[name].dtype == array.dtype
        assert request.inputs[name].tobytes() == array.tobytes()
        tensor = response.outputs[index]
        assert (tensor.name, tensor.datatype, tuple(tensor.shape)) == (name, dtypes[name], array.shape)
        if raw:
            assert response.raw_output_contents[index] == array.tobytes()
            assert not tensor.HasField("contents")
        else:
            values = getattr(tensor.contents, CONTENTS[dtypes[name]])
            assert np.array(values, dtype=array.dtype).tobytes() == array.tobytes()
            assert not response.raw_output_contents


def test_raw_contents_are_not_copied(cards: dict[str, ModelCard]) -> None:
    features = np.ones((2, 29), np.float32)
    message = message_of({"features": features}, {"features": "FP32"}, raw=True)
    array = decode_infer_request(message, cards["fraud"], max_rows=MAX_ROWS).inputs["features"]
    assert not array.flags.owndata
    assert not array.flags.writeable


def fraud(raw: bool = True) -> pb.ModelInferRequest:
    return message_of({"features": np.zeros((1, 29), np.float32)}, {"features": "FP32"}, raw=raw)


def spoil(change: str, value: Any) -> pb.ModelInferRequest:
    """A good request with one thing wrong."""
    message = fraud(raw=not change.startswith("contents"))
    tensor = message.inputs[0]
    if change == "raw":
        message.raw_input_contents[:] = value
    elif change == "shape":
        tensor.shape[:] = value
    elif change in ("name", "datatype"):
        setattr(tensor, change, value)
    elif change == "contents":
        tensor.contents.fp32_contents[:] = value
    elif change == "contents field":
        tensor.ClearField("contents")
        getattr(tensor.contents, value).extend([1] * 29)
    elif change == "output":
        message.outputs.add(name=value)
    elif change == "parameter of input":
        tensor.parameters[value].string_param = "x"
    elif change == "parameter of output":
        message.outputs.add(name="score").parameters[value].int64_param = 2
    return message


NAN, BIG = float("nan"), np.full((1, 29), 1, np.float64).tobytes()


@pytest.mark.parametrize(
    ("change", "value", "words"),
    [
        ("name", "colour", "inputs[0].name='colour' is not valid; expected one of features"),
        ("name", "", "inputs[0].name='' is not valid; expected one of features"),
        ("datatype", "FP64", "inputs[features].datatype='FP64' is not valid; expected FP32"),
        ("shape", [1, 28], "inputs[features].shape=[1, 28] is not valid; expected [any, 29]"),
        ("shape", [29], "inputs[features].shape=[29] is not valid; expected [any, 29]"),
        ("shape", [0, 29], "every dimension must be at least 1"),
        ("shape", [-1, 29], "every dimension must be at least 1"),
        ("shape", [2, 29], "needs 232"),
        ("shape", [2**62, 29], "at most 64 rows"),
        ("raw", [BIG], "has 232 bytes, which is not valid; shape [1, 29] of FP32 needs 116"),
        ("raw", [b""], "has 0 bytes"),
        (
            "raw",
            [b"x" * 116, b""],
            "raw_input_contents has 2 entries, which is not valid; expected one for each of the 1",
        ),
        (
            "raw",
            [np.full(29, NAN, np.float32).tobytes()],
            "inputs[features].data[0]=nan is not valid; expected a finite",
        ),
        ("raw", [], "inputs[features].data has 0 values"),
        ("contents", [1.0] * 28, "has 28 values, which is not valid; shape [1, 29] needs 29"),
        ("contents", [1.0] * 28 + [NAN], "inputs[features].data[28]=nan is not valid; expected a finite number"),
        (
            "contents field",
            "fp64_contents",
            "inputs[features].contents.fp64_contents is not valid; expected fp32_contents",
        ),
        ("contents field", "int_contents", "expected fp32_contents (FP32)"),
        ("output", "colour", "outputs[0].name='colour' is not valid; expected one of score, is_fraud, reasons"),
        (
            "parameter of input",
            "shared_memory_region",
            "inputs[features].parameters.shared_memory_region='x' is not valid",
        ),
        (
            "parameter of output",
            "classification",
            "outputs[score].parameters.classification=2 is not valid; ask for the scores",
        ),
    ],
)
def test_what_is_wrong_is_named(cards: dict[str, ModelCard], change: str, value: Any, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        decode_infer_request(spoil(change, value), cards["fraud"], max_rows=MAX_ROWS)
    assert caught.value.status == (413 if "rows" in words else 400)
    assert words in caught.value.message


def test_tensors_that_are_missing_doubled_or_of_unequal_rows_are_refused(cards: dict[str, ModelCard]) -> None:
    specs = [TensorSpec(name=name, dtype="UINT8", shape=(-1,)) for name in ("a", "b")]
    card = card_of(cards["fraud"], *specs)

    def refused(names: list[tuple[str, int]]) -> str:
        message = pb.ModelInferRequest()
        for name, rows in names:
            message.inputs.add(name=name, datatype="UINT8", shape=[rows])
            message.raw_input_contents.append(bytes(rows))
        with pytest.raises(RequestError) as caught:
            decode_infer_request(message, card, max_rows=MAX_ROWS)
        return caught.value.message

    assert "inputs[b] is missing" in refused([("a", 1)])
    assert "inputs[a] is missing" in refused([])
    assert "there twice" in refused([("a", 1), ("a", 1)])
    assert "differ in their first dimension" in refused([("a", 1), ("b", 2)])


@pytest.mark.parametrize(("dtype", "value"), [("UINT8", 256), ("BOOL", 2)])
def test_elements_outside_their_type_are_refused(cards: dict[str, ModelCard], dtype: Dtype, value: int) -> None:
    """256 in uint_contents, which holds 32 bits; a byte that is neither false nor true."""
    message = pb.ModelInferRequest()
    tensor = message.inputs.add(name="a", datatype=dtype, shape=[1])
    if dtype == "UINT8":
        tensor.contents.uint_contents.append(value)
    else:
        message.raw_input_contents.append(bytes([value]))
    card = card_of(cards["fraud"], TensorSpec(name="a", dtype=dtype, shape=(-1,)))
    with pytest.raises(RequestError, match=rf"data\[0\]={value} is not valid"):
        decode_infer_request(message, card, max_rows=MAX_ROWS)


def test_contents_beside_raw_contents_are_refused(cards: dict[str, ModelCard]) -> None:
    message = fraud(raw=True)
    message.inputs[0].contents.fp32_contents.extend([0.0] * 29)
    with pytest.raises(RequestError, match="beside raw_input_contents"):
        decode_infer_request(message, cards["fraud"], max_rows=MAX_ROWS)


def test_outputs_are_answered_in_the_order_asked_for_and_each_once(cards: dict[str, ModelCard]) -> None:
    message = fraud()
    for name in ("reasons", "score", "reasons"):
        message.outputs.add(name=name)
    assert decode_infer_request(message, cards["fraud"], max_rows=MAX_ROWS).outputs == ("reasons", "score")


def test_an_answer_that_is_not_finite_is_the_servers_fault(cards: dict[str, ModelCard]) -> None:
    with pytest.raises(RequestError, match="not finite in output score") as caught:
        encode_infer_response(cards["fraud"], None, {"score": np.array([NAN], np.float32)}, raw=True)
    assert caught.value.status == 500


@settings(max_examples=300, derandomize=True, deadline=None)
@given(data=st.binary(max_size=400), cut=st.integers(0, 200), raw=st.booleans())
def test_bytes_that_are_a_message_at_all_end_in_an_answer_or_a_named_fault(
    cards: dict[str, ModelCard], data: bytes, cut: int, raw: bool
) -> None:
    """Random bytes, and a good message with random bytes spliced in: never another exception than RequestError."""
    from google.protobuf.message import DecodeError

    good = fraud(raw).SerializeToString()
    for candidate in (data, good[:cut] + data[: cut // 8] + good[cut + len(data[: cut // 8]) :]):
        try:
            message = pb.ModelInferRequest.FromString(candidate)
        except DecodeError:
            continue  # gRPC itself answers these
        status = status_of(lambda: decode_infer_request(message, cards["fraud"], max_rows=MAX_ROWS))  # noqa: B023
        assert status in (200, 400, 413)
