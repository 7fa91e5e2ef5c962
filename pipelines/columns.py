"""Tensors and the Parquet columns that hold them.

A tensor (batch, ...) is one column: of numbers, of lists of one length (fixed-size or not), or of Arrow's fixed-shape
tensors. A tensor (batch, n) may also be n columns of numbers, one for each of the card's labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from drillyard.core import summary
from drillyard.core.contract import TensorSpec
from drillyard.core.errors import UsageError

Array = np.ndarray[Any, Any]

_TYPES = {"FP32": pa.float32(), "FP64": pa.float64(), "UINT8": pa.uint8(), "INT64": pa.int64(), "BOOL": pa.bool_()}
# Tables made from text have 64-bit numbers; the data sets' own readers round them to the model's 32 bits as well.
_ALSO = {"FP32": (pa.float64(),)}


class ColumnError(ValueError):
    """Values that the schema allows and the model cannot take, such as a null."""


@dataclass(frozen=True, kw_only=True)
class Binding:
    """Where in a table a tensor is."""

    spec: TensorSpec
    columns: tuple[str, ...]


def bind(spec: TensorSpec, labels: tuple[str, ...], schema: pa.Schema, where: str) -> Binding:
    """The columns that hold the tensor. Raises UsageError naming file, column, its type and the valid form."""
    if spec.name in schema.names:
        _check(spec, spec.name, spec.shape[1:], schema, where)
        return Binding(spec=spec, columns=(spec.name,))
    names = summary.features(spec, labels) if len(spec.shape) == 2 else ()
    missing = [name for name in names if name not in schema.names]
    if not names or missing:
        valid = f"a file with a column {spec.name} of {_words(spec, spec.shape[1:])}"
        if names:
            valid += f", or with a column of numbers for each of {', '.join(names)}; missing: {', '.join(missing)}"
        raise UsageError("input", where, valid)
    for name in names:
        _check(spec, name, (), schema, where)
    return Binding(spec=spec, columns=names)


def tensor(batch: pa.RecordBatch, binding: Binding) -> Array:
    """The tensor's values (rows, ...) in the model's data type. Raises ColumnError."""
    dtype = _TYPES[binding.spec.dtype].to_pandas_dtype()
    if binding.columns == (binding.spec.name,):
        found = values(batch.column(binding.spec.name), binding.spec.name)
    else:
        found = np.stack([values(batch.column(name), name) for name in binding.columns], axis=1)
    shape = binding.spec.shape
    if len(found.shape) != len(shape) or any(a not in (-1, b) for a, b in zip(shape[1:], found.shape[1:], strict=True)):
        raise ColumnError(f"{binding.spec.name} has values of shape {found.shape[1:]}, the model takes {shape[1:]}")
    return np.ascontiguousarray(found, dtype)


def values(column: pa.Array, name: str) -> Array:
    """A column as an array (rows, ...). Raises ColumnError for nulls and for lists of several lengths."""
    if column.null_count:
        raise ColumnError(f"column {name} has {column.null_count} nulls in {len(column)} rows")
    if isinstance(column.type, pa.FixedShapeTensorType):
        return column.to_numpy_ndarray()
    if not _is_list(column.type):
        return column.to_numpy(zero_copy_only=False)
    inner = values(column.flatten(), name)
    width = column.type.list_size if pa.types.is_fixed_size_list(column.type) else _length(column, name)
    return inner.reshape(len(column), width, *inner.shape[1:])


def batch(arrays: Mapping[str, Array]) -> pa.RecordBatch:
    """Arrays (rows, ...) as columns of numbers, of fixed-size lists, or beyond that of fixed-shape tensors."""
    made = {name: _column(array) for name, array in arrays.items()}
    # Without nulls, of which Parquet would keep a record for every number.
    schema = pa.schema([pa.field(name, column.type, nullable=False) for name, column in made.items()])
    return pa.RecordBatch.from_arrays(list(made.values()), schema=schema)


def _column(array: Array) -> pa.Array:
    if array.ndim == 1:
        return pa.array(array)
    if array.ndim > 2:
        return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(array))
    numbers = pa.array(array.reshape(-1))
    kind = pa.list_(pa.field("element", numbers.type, nullable=False), array.shape[1])
    return pa.FixedSizeListArray.from_arrays(numbers, type=kind)


def _length(lists: pa.ListArray, name: str) -> int:
    lengths = np.unique(lists.value_lengths().to_numpy(zero_copy_only=False))
    if len(lengths) != 1:
        raise ColumnError(f"column {name} has lists of {', '.join(map(str, lengths))} values; expected one length")
    return int(lengths[0])


def _check(spec: TensorSpec, name: str, shape: Sequence[int], schema: pa.Schema, where: str) -> None:
    found = schema.field(name).type
    element, sizes = _unnested(found)
    fits = len(sizes) == len(shape) and all(-1 in (a, b) or a == b for a, b in zip(shape, sizes, strict=True))
    if not fits or element not in (_TYPES[spec.dtype], *_ALSO.get(spec.dtype, ())):
        raise UsageError("input", where, f"{_words(spec, shape)} in column {name}, which has {found}")


def _unnested(kind: pa.DataType) -> tuple[pa.DataType, tuple[int, ...]]:
    """The type of the numbers, and the shape of a row; -1 where lists may be of any length."""
    if isinstance(kind, pa.FixedShapeTensorType):
        return kind.value_type, tuple(kind.shape)
    if not _is_list(kind):
        return kind, ()
    element, sizes = _unnested(kind.value_type)
    return element, (kind.list_size if pa.types.is_fixed_size_list(kind) else -1, *sizes)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _words(spec: TensorSpec, shape: Sequence[int]) -> str:
    element = str(_TYPES[spec.dtype])
    return f"{element} lists of shape {tuple(shape)}" if shape else element
