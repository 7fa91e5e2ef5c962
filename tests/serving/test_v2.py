"""The v2 JSON codec: what it accepts round-trips, what it refuses is named, and nothing else ever escapes."""

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drillyard.core.contract import DatasetRef, Dtype, ModelCard, Parity, TensorSpec
from serving.protocol import v2
from serving.protocol.errors import RequestError
from serving.protocol.tensors import NUMPY
from tests.serving.conftest import status_of
from tests.support.tiny_models import FEATURES


def make_card(*inputs: TensorSpec, outputs: tuple[TensorSpec, ...] = ()) -> ModelCard:
    return ModelCard(
        name="any",
        version=3,
        task="anomaly-detection",
        recipe="none",
        inputs=inputs,
        outputs=outputs or (TensorSpec(name="score", dtype="FP32", shape=(-1,)),),
        labels=FEATURES,
        threshold=None,
        primary_metric="m",
        metrics={"m": (0.0, 0.0, 0.0)},
        baselines={},
        dataset=DatasetRef(name="d", sha256=""),
        parity=Parity(samples=0, max_abs_difference=0, tolerance=0, reason=""),
        commit="",
        run_id="",
        opset=20,
        onnx_sha256="",
        samples_sha256="",
    )


CARD = make_card(
    TensorSpec(name="x", dtype="FP32", shape=(-1, 3)),
    outputs=(TensorSpec(name="a", dtype="FP32", shape=(-1,)), TensorSpec(name="b", dtype="INT64", shape=(-1,))),
)


def request(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1.0, 2.0, 3.0]} | changes
    return {"inputs": [{key: value for key, value in tensor.items() if value is not ...}]}


def refused(document: Any, card: ModelCard = CARD, max_rows: int = 8) -> RequestError:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(RequestError) as caught:
        v2.decode_infer_request(body, card, max_rows=max_rows)
    return caught.value


def test_decodes_flat_and_nested_data_alike() -> None:
    for data in ([1, 2, 3, 4, 5, 6.5], [[1, 2, 3], [4, 5, 6.5]]):
        decoded = v2.decode_infer_request(json.dumps(request(shape=[2, 3], data=data)).encode(), CARD, max_rows=8)
        assert decoded.inputs["x"].tolist() == [[1, 2, 3], [4, 5, 6.5]]
        assert decoded.inputs["x"].dtype == np.float32
        assert decoded.rows == 2
        assert decoded.outputs == ("a", "b")


def test_id_and_requested_outputs_are_kept_in_order_and_unknown_parameters_are_harmless() -> None:
    outputs = [{"name": "b"}, {"name": "a", "parameters": {"binary_data": False, "p": []}}, {"name": "b"}]
    ignored = {"p": 1, "sequence_id": 7, "priority": 2}
    document = request(parameters={"p": None}) | {"id": "i", "outputs": outputs, "parameters": ignored}
    decoded = v2.decode_infer_request(json.dumps(document).encode(), CARD, max_rows=8)
    assert (decoded.id, decoded.outputs, decoded.binary_outputs) == ("i", ("b", "a"), frozenset())


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "the body is empty"),
        (b"{", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"inputs": [{"name": "x", "data": [NaN]}]}', "not valid JSON"),
        (b"[1]", "expected a JSON object"),
        (b"{}", "inputs=None"),
        ({"inputs": []}, "inputs=[]"),
        ({"inputs": {}}, "inputs={}"),
        ({"inputs": [3]}, "inputs[0]=3"),
        ({"inputs": [{}]}, "inputs[0].name=None is not valid; expected one of x"),
        ({"inputs": [{"name": ["x"]}]}, "inputs[0].name=['x']"),
        (request(name="y"), "inputs[0].name='y' is not valid; expected one of x"),
        ({"inputs": request()["inputs"] * 2}, "is there twice"),
        (request(datatype="FP64"), "inputs[x].datatype='FP64' is not valid; expected FP32"),
        (request(datatype=...), "inputs[x].datatype=None"),
        (request(shape=[1, 4]), "inputs[x].shape=[1, 4] is not valid; expected [any, 3]"),
        (request(shape=[3]), "inputs[x].shape=[3] is not valid; expected [any, 3]"),
        (request(shape="13"), "inputs[x].shape='13'"),
        (request(shape=[True, 3]), "inputs[x].shape=[True, 3]"),
        (request(shape=[1.0, 3]), "inputs[x].shape=[1.0, 3]"),
        (request(shape=...), "inputs[x].shape=None"),
        (request(shape=[0, 3], data=[]), "every dimension must be at least 1"),
        (request(shape=[-1, 3]), "every dimension must be at least 1"),
        (request(shape=[2**62, 3]), "at most 8 rows"),
        (request(data=...), "inputs[x].data is missing"),
        (request(data=None), "inputs[x].data=None"),
        (request(data="abc"), "inputs[x].data='abc'"),
        (request(data=[1, 2]), "inputs[x].data has 2 values"),
        (request(data=[[1, 2], [3]]), "is not nested as shape [1, 3] says"),
        (request(data=[[1, 2, [3]]]), "inputs[x].data[2]=[3]"),
        (request(data=[1, "2", 3]), "inputs[x].data[1]='2' is not valid; expected a finite number"),
        (request(data=[1, 2, None]), "inputs[x].data[2]=None"),
        (request(data=[1, True, 3]), "inputs[x].data[1]=True"),
        (request(data=[1, 2, 1e39]), "inputs[x].data[2]=1e+39"),
        (b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,2,1e999]}]}', ""),
        (request() | {"id": 3}, "id=3 is not valid; expected a string"),
        (request() | {"outputs": [{"name": "c"}]}, "outputs[0].name='c' is not valid; expected one of a, b"),
        (request() | {"outputs": "a"}, "outputs='a'"),
        (request() | {"outputs": ["a"]}, "outputs[0].name='a'"),
        (request() | {"parameters": {"binary_data_output": 1}}, "parameters.binary_data_output=1 is not valid"),
        (request() | {"parameters": [1]}, "parameters=[1] is not valid; expected an object"),
        (request(parameters="p"), "inputs[x].parameters='p' is not valid; expected an object"),
        (request(parameters={"binary_data_size": 12}), "binary_data_size=12 is not valid beside data"),
        (request(parameters={"binary_data_size": 12}, data=...), "needs the header Inference-Header-Content-Length"),
        (request(parameters={"shared_memory_region": "r"}), "shared memory is not supported"),
        (
            request() | {"outputs": [{"name": "a", "parameters": {"classification": 3}}]},
            "outputs[a].parameters.classification=3 is not valid",
        ),
        (
            request() | {"outputs": [{"name": "a", "parameters": {"binary_data": "yes"}}]},
            "outputs[a].parameters.binary_data='yes' is not valid; expected true or false",
        ),
    ],
)
def test_what_is_wrong_is_named(document: Any, words: str) -> None:
    error = refused(document)
    assert 400 <= error.status < 500
    assert words in error.message


def test_a_message_never_carries_the_payload() -> None:
    assert len(refused(request(data="x" * 10_000)).message) < 300


@pytest.mark.parametrize(
    ("dtype", "bad"),
    [("UINT8", 256), ("UINT8", -1), ("UINT8", 1.0), ("INT64", 2**63), ("INT64", 0.5), ("BOOL", 1), ("FP64", None)],
)
def test_values_outside_the_type_are_named_with_their_index(dtype: Dtype, bad: Any) -> None:
    card = make_card(TensorSpec(name="t", dtype=dtype, shape=(-1,)))
    good = True if dtype == "BOOL" else 7
    error = refused({"inputs": [{"name": "t", "datatype": dtype, "shape": [3], "data": [good, good, bad]}]}, card=card)
    assert f"inputs[t].data[2]={bad!r}" in error.message


def test_missing_and_unequal_inputs_are_named() -> None:
    card = make_card(TensorSpec(name="p", dtype="INT64", shape=(-1,)), TensorSpec(name="q", dtype="INT64", shape=(-1,)))
    p = {"name": "p", "datatype": "INT64", "shape": [1], "data": [1]}
    q = {"name": "q", "datatype": "INT64", "shape": [2], "data": [1, 2]}
    assert "inputs[q] is missing; expected the tensors p, q" in refused({"inputs": [p]}, card=card).message
    assert "differ in their first dimension" in refused({"inputs": [p, q]}, card=card).message


def test_an_answer_that_is_not_finite_is_a_server_error() -> None:
    with pytest.raises(RequestError) as caught:
        v2.encode_infer_response(CARD, None, {"a": np.array([np.nan], dtype=np.float32)})
    assert caught.value.status == 500


def arrays(dtype: Dtype) -> st.SearchStrategy[Any]:
    finite = {"allow_nan": False, "allow_infinity": False} if dtype in ("FP32", "FP64") else {}
    shapes = hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)
    return hnp.arrays(NUMPY[dtype], shapes, elements=finite or None)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(NUMPY)).flatmap(lambda d: st.tuples(st.just(d), arrays(d))), st.booleans(), st.text())
def test_what_is_decoded_is_what_was_encoded(case: tuple[Dtype, Any], nested: bool, request_id: str) -> None:
    """decode(encode(x)) is x, bit for bit, for every type, any free shape, flat or nested."""
    dtype, array = case
    spec = TensorSpec(name="t", dtype=dtype, shape=(-1,) * array.ndim)
    card = make_card(spec, outputs=(spec,))
    data = array.tolist() if nested else array.ravel().tolist()
    tensor = {"name": "t", "datatype": dtype, "shape": list(array.shape), "data": data}
    decoded = v2.decode_infer_request(orjson.dumps({"id": request_id, "inputs": [tensor]}), card, max_rows=8)
    assert decoded.inputs["t"].dtype == NUMPY[dtype]
    np.testing.assert_array_equal(decoded.inputs["t"], array, strict=True)
    answer = orjson.loads(v2.encode_infer_response(card, decoded.id, {"t": decoded.inputs["t"]})[0])
    assert (answer["id"], answer["model_name"], answer["model_version"]) == (request_id, "any", "3")
    back = np.array(answer["outputs"][0]["data"], dtype=NUMPY[dtype]).reshape(answer["outputs"][0]["shape"])
    np.testing.assert_array_equal(back, array, strict=True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("x") | json_values,
        "datatype": st.just("FP32") | json_values,
        "shape": st.just([1, 3]) | json_values,
        "data": st.lists(st.floats() | json_values, min_size=3, max_size=3) | json_values,
        "parameters": json_values,
    },
)
documents = st.fixed_dictionaries(
    {}, optional={"inputs": st.lists(tensors, max_size=2) | json_values, "outputs": json_values, "id": json_values}
)


@settings(max_examples=300, deadline=None)
@given(
    documents.map(lambda d: json.dumps(d).encode()) | json_values.map(lambda d: json.dumps(d).encode()) | st.binary()
)
def test_any_bytes_decode_or_are_refused_with_4xx(body: bytes) -> None:
    """Nothing but RequestError escapes, whatever arrives."""
    status = status_of(lambda: v2.decode_infer_request(body, CARD, max_rows=8))
    assert status == 200 or 400 <= status < 500
    if status == 200:
        array = v2.decode_infer_request(body, CARD, max_rows=8).inputs["x"]
        assert array.shape[1:] == (3,)
        assert np.isfinite(array).all()
