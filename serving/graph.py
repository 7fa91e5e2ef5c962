"""An ONNX file to a session whose inputs and outputs are the card's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnxruntime
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto

from drillyard.core.contract import MODEL_FILE, ModelCard, ModelRef, TensorSpec
from drillyard.core.errors import ArtifactRefused

_ONNX_TYPES = {
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(uint8)": "UINT8",
    "tensor(int64)": "INT64",
    "tensor(bool)": "BOOL",
}
_ERROR = 3  # onnxruntime's log severity: warnings about optimisations are of no use to an operator


def open_session(path: Path, *, threads: int, ref: ModelRef) -> onnxruntime.InferenceSession:
    """A CPU session on `threads` threads. Raises ArtifactRefused when the file is no graph this machine can run.

    A graph that names other files is refused before onnxruntime sees it; and it sees bytes only, so it has no folder to
    look for such files in.
    """
    content = path.read_bytes()
    refuse_external_data(content, ref)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERROR
    # Spinning threads burn the cores that the web server and HAProxy need between two requests.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base class of their own
        raise ArtifactRefused(str(ref), f"{MODEL_FILE} cannot be loaded: {error}") from None


def refuse_external_data(content: bytes, ref: ModelRef) -> None:
    """Raises ArtifactRefused when a tensor of the graph lies in another file, wherever in the graph the tensor is.

    Such "external data" (https://onnx.ai/onnx/repo-docs/ExternalData.html) names a path, and with it any file that the
    server can read. What drillyard exports holds all its weights, so none is one of ours. Parsing opens no file.
    """
    try:
        model = ModelProto.FromString(content)
    except DecodeError as error:
        raise ArtifactRefused(str(ref), f"{MODEL_FILE} cannot be loaded: {error}") from None
    for tensor in _messages(model, TensorProto):
        if tensor.external_data or tensor.data_location == TensorProto.EXTERNAL:
            reason = f"{MODEL_FILE} keeps tensor {tensor.name!r} in another file; expected all weights in {MODEL_FILE}"
            raise ArtifactRefused(str(ref), reason)


def _messages(message: Any, kind: type) -> Iterator[Any]:
    """Every message of that kind below this one: attributes, subgraphs and functions hold tensors too.

    As deep as protobuf nests, which its parser limits to 100.
    """
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in value if field.is_repeated else (value,):
            if isinstance(inner, kind):
                yield inner
            yield from _messages(inner, kind)


def check_signature(session: onnxruntime.InferenceSession, card: ModelCard) -> None:
    """Hold an onnxruntime session's real inputs and outputs against the card. Raises ArtifactRefused."""
    for kind, nodes, specs in (
        ("input", session.get_inputs(), card.inputs),
        ("output", session.get_outputs(), card.outputs),
    ):
        actual = {node.name: (_ONNX_TYPES.get(node.type, node.type), _shape(node.shape)) for node in nodes}
        declared = {spec.name: (spec.dtype, spec.shape) for spec in specs}
        if actual != declared:
            reason = f"the {kind}s of {MODEL_FILE} are {actual}, its card says {declared}"
            raise ArtifactRefused(f"{card.name}/{card.version}", reason)
        _check_free_batch(kind, specs, card)


def _check_free_batch(kind: str, specs: tuple[TensorSpec, ...], card: ModelCard) -> None:
    fixed = [spec.name for spec in specs if not spec.shape or spec.shape[0] != -1]
    if fixed:
        reason = f"the first dimension of {kind} {fixed[0]} is fixed; it must be the batch, -1"
        raise ArtifactRefused(f"{card.name}/{card.version}", reason)


def _shape(dimensions: list[int | str | None]) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else -1 for dim in dimensions)  # named or unknown: free
