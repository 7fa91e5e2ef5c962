import shutil

import numpy as np
import orjson
import pytest

from drillyard.core.contract import TensorSpec
from drillyard.core.errors import ArtifactRefused, UsageError
from loadtests.generator.payloads import ATOL, Payloads, infer_path
from tests.loadtests.support.builders import make_card


@pytest.fixture
def payloads(samples):
    return Payloads.load(samples)


def body(arrays, row, **changes):
    outputs = {
        name: np.asarray(arrays[f"output.{name}"][row]).reshape(-1).tolist()
        for name in ("score", "is_fraud", "reasons")
    }
    outputs.update(changes)
    return orjson.dumps({"outputs": [{"name": name, "data": data} for name, data in outputs.items()]})


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("fraud", "/v2/models/fraud/infer"),
        ("fraud@champion", "/v2/models/fraud/infer"),
        ("fraud/3", "/v2/models/fraud/versions/3/infer"),
    ],
)
def test_paths_are_the_protocols(model, path):
    assert infer_path(model) == path


def test_a_body_is_one_row_of_the_samples(payloads, arrays):
    request = orjson.loads(payloads.bodies[5])
    assert list(request) == ["inputs"]
    (tensor,) = request["inputs"]
    assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("features", "FP32", [1, 29])
    np.testing.assert_array_equal(np.float32(tensor["data"]), arrays["input.features"][5])


def test_a_request_of_several_rows_is_checked_row_by_row(samples, arrays):
    payloads = Payloads.load(samples, rows=5)
    assert len(payloads) == 13  # 64 samples, the last request goes round to the first ones
    for number, rows in ((1, [5, 6, 7, 8, 9]), (12, [60, 61, 62, 63, 0])):
        (tensor,) = orjson.loads(payloads.bodies[number])["inputs"]
        assert tensor["shape"] == [5, 29]
        np.testing.assert_array_equal(np.float32(tensor["data"]), arrays["input.features"][rows].reshape(-1))
        assert payloads.check(number, body(arrays, rows))
        assert not payloads.check(number, body(arrays, rows[::-1]))
        flipped = arrays["output.is_fraud"][rows]
        flipped[3] = not flipped[3]  # far from the threshold
        assert not payloads.check(number, body(arrays, rows, is_fraud=flipped.tolist()))


def test_a_flip_at_the_threshold_is_right_in_any_row(arrays):
    at = {key: value[:3].copy() for key, value in arrays.items()}
    at["output.score"] = np.array([13.0, 14.5, 13.0], dtype=np.float32)
    at["output.is_fraud"] = np.array([False, False, False])
    payloads = Payloads(make_card(), at, rows=3)
    assert payloads.check(0, body(at, [0, 1, 2], is_fraud=[False, True, False]))
    assert not payloads.check(0, body(at, [0, 1, 2], is_fraud=[True, True, False]))


def test_images_are_flattened_in_row_major_order():
    image = np.arange(2 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 2, 3)  # (samples, height, width, channels)
    card = make_card(inputs=(TensorSpec(name="image", dtype="UINT8", shape=(-1, -1, -1, 3)),), outputs=())
    (tensor,) = orjson.loads(Payloads(card, {"input.image": image}).bodies[1])["inputs"]
    assert tensor == {"name": "image", "datatype": "UINT8", "shape": [1, 2, 2, 3], "data": list(range(12, 24))}


def test_the_samples_own_answer_is_right_also_nested(payloads, arrays):
    assert payloads.check(5, body(arrays, 5))
    assert payloads.check(5 + len(payloads), body(arrays, 5))  # samples are used in turn
    assert payloads.check(5, body(arrays, 5, reasons=[arrays["output.reasons"][5].tolist()]))


def test_float_noise_is_accepted_and_more_is_not(payloads, arrays):
    score = float(arrays["output.score"][5])
    assert payloads.check(5, body(arrays, 5, score=[score * 1.0005]))
    assert not payloads.check(5, body(arrays, 5, score=[score * 1.003 + ATOL]))


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b'{"outputs": 3}', b'{"outputs": [{"name": "score", "data": null}]}', b"not json"]
)
def test_what_is_no_answer_is_wrong(payloads, answer):
    assert not payloads.check(0, answer)


def test_nan_missing_and_short_tensors_are_wrong(payloads, arrays):
    nan = arrays["output.reasons"][5].tolist()
    nan[3] = None
    assert not payloads.check(5, body(arrays, 5, reasons=nan))
    assert not payloads.check(5, body(arrays, 5, reasons=nan[:3]))
    assert not payloads.check(5, body(arrays, 5, is_fraud=[]))


def test_another_rows_answer_is_wrong(payloads, arrays):
    assert not payloads.check(5, body(arrays, 6))


def test_a_flipped_decision_is_right_only_at_the_threshold(arrays):
    at = {key: value[:2].copy() for key, value in arrays.items()}
    at["output.score"] = np.array([14.5, 13.0], dtype=np.float32)
    at["output.is_fraud"] = np.array([False, False])
    payloads = Payloads(make_card(), at)
    assert payloads.check(0, body(at, 0, is_fraud=[True]))
    assert not payloads.check(1, body(at, 1, is_fraud=[True]))


def test_another_label_is_right_only_when_its_score_ties():
    card = make_card(
        labels=("a", "b", "c"),
        threshold=None,
        outputs=(
            TensorSpec(name="scores", dtype="FP32", shape=(-1, 3)),
            TensorSpec(name="label", dtype="INT64", shape=(-1,)),
        ),
    )
    arrays = {
        "input.features": np.zeros((1, 29), np.float32),
        "output.scores": np.array([[0.45, 0.45, 0.1]], np.float32),
        "output.label": np.array([0]),
    }
    payloads = Payloads(card, arrays)
    answers = [
        orjson.dumps({"outputs": [{"name": "scores", "data": [0.45, 0.45, 0.1]}, {"name": "label", "data": [label]}]})
        for label in (0, 1, 2, 7)
    ]
    assert [payloads.check(0, answer) for answer in answers] == [True, True, False, False]


def test_wrong_folders_are_named(samples, tmp_path, arrays):
    with pytest.raises(UsageError, match=r"samples\.npz"):
        Payloads.load(tmp_path)
    shutil.copytree(samples, tmp_path / "copy")
    np.savez(tmp_path / "copy" / "samples.npz", **{**arrays, "truth": arrays["truth"] + 1})
    with pytest.raises(ArtifactRefused, match="sha256"):
        Payloads.load(tmp_path / "copy")
    with pytest.raises(UsageError, match=r"output\.score"):
        Payloads(make_card(), {"input.features": arrays["input.features"]})
