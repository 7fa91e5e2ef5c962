"""Columns and tensors: what is written is read, and what does not fit the model is named."""

import numpy as np
import pyarrow as pa
import pytest

from drillyard.core.contract import TensorSpec
from drillyard.core.errors import UsageError
from pipelines import columns
from pipelines.columns import ColumnError

FEATURES = TensorSpec(name="features", dtype="FP32", shape=(-1, 3))
IMAGE = TensorSpec(name="image", dtype="UINT8", shape=(-1, -1, -1, 3))
LABELS = ("a", "b", "c")
ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


def table(arrays: dict[str, np.ndarray]) -> pa.Table:
    return pa.Table.from_batches([columns.batch(arrays)])


def read(whole: pa.Table, spec: TensorSpec = FEATURES) -> np.ndarray:
    (batch,) = whole.combine_chunks().to_batches()
    return columns.tensor(batch, columns.bind(spec, LABELS, whole.schema, "x.parquet"))


@pytest.mark.parametrize(
    "array",
    [
        np.array([1.5, 2.5]),
        np.array([True, False]),
        ROWS,
        np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3),
    ],
    ids=["numbers", "truth values", "lists", "tensors"],
)
def test_arrays_come_back_as_they_were_also_from_a_slice(array) -> None:
    column = columns.batch({"x": array}).column("x")
    np.testing.assert_array_equal(columns.values(column, "x"), array)
    np.testing.assert_array_equal(columns.values(column.slice(1), "x"), array[1:])


@pytest.mark.parametrize(
    "found",
    [
        table({"features": ROWS}),
        pa.table({"features": ROWS.tolist()}),  # lists of 64-bit numbers, as pandas writes them
        pa.table({"features": pa.array(ROWS.tolist(), pa.list_(pa.float32()))}),
        pa.table({"id": [7, 8], "c": ROWS[:, 2], "b": ROWS[:, 1].astype(np.float64), "a": ROWS[:, 0]}),
    ],
    ids=["fixed-size lists", "lists of doubles", "lists", "one column a label"],
)
def test_a_matrix_may_lie_in_one_column_or_in_one_a_label(found: pa.Table) -> None:
    matrix = read(found)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, ROWS)


def test_images_of_any_size_are_tensors() -> None:
    images = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    np.testing.assert_array_equal(read(table({"image": images}), IMAGE), images)


@pytest.mark.parametrize(
    ("found", "spec", "message"),
    [
        (pa.table({"id": [1]}), FEATURES, "a column features of float lists of shape .3,., .* missing: a, b, c"),
        (pa.table({"a": [1.0], "b": [1.0]}), FEATURES, "missing: c"),
        (pa.table({"a": [1.0], "b": [1.0], "c": ["x"]}), FEATURES, "float in column c, which has string"),
        (pa.table({"a": [1.0], "b": [1.0], "c": [1]}), FEATURES, "float in column c, which has int64"),
        (pa.table({"features": [1.0]}), FEATURES, "column features, which has double"),
        (table({"features": np.zeros((1, 4), np.float32)}), FEATURES, r"which has fixed_size_list.*\[4\]"),
        (pa.table({"image": [b"png"]}), IMAGE, "uint8 lists of shape .-1, -1, 3. in column image, which has binary"),
    ],
)
def test_columns_that_cannot_be_the_input_are_named_with_the_valid_form(found, spec, message) -> None:
    with pytest.raises(UsageError, match=f"input='x.parquet' is not valid; expected .*{message}"):
        columns.bind(spec, LABELS, found.schema, "x.parquet")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (pa.table({"a": [1.0, None], "b": [1.0, 2.0], "c": [1.0, 2.0]}), "column a has 1 nulls in 2 rows"),
        (pa.table({"features": [[1.0, 2.0, 3.0], [1.0, None, 3.0]]}), "column features has 1 nulls"),
        (pa.table({"features": [[1.0, 2.0, 3.0], [1.0]]}), "column features has lists of 1, 3 values"),
        (pa.table({"features": [[1.0], [2.0]]}), r"features has values of shape \(1,\), the model takes \(3,\)"),
    ],
)
def test_values_that_the_model_cannot_take_are_named(found, message) -> None:
    with pytest.raises(ColumnError, match=message):
        read(found)
