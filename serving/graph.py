"""An ONNX file to a session whose inputs and outputs are the card's."""

from pathlib import Path

import onnxruntime

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

    The model is given as bytes, so a graph whose weights lie in other files ("external data", a way to read any file
    of the server) has no folder to resolve them in and is refused.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERROR
    # Spinning threads burn the cores that the web server and HAProxy need between two requests.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base class of their own
        raise ArtifactRefused(str(ref), f"{MODEL_FILE} cannot be loaded: {error}") from None


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
