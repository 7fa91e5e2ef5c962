"""An ONNX graph as a function on arrays, as the server runs it; for parity, evaluation and the gate."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

if TYPE_CHECKING:  # system brings torch, which a process that only scores does without
    from pipelines.system import Arrays, Predict

BATCH_ROWS = 256


def predictor(graph: Path | bytes, threads: int = 0, names: Sequence[str] = ()) -> "Predict":
    """Graph inputs -> graph outputs (those of `names`, or all), run in batches.

    `threads` 0 leaves the choice to ONNX Runtime.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort.InferenceSession(
        graph if isinstance(graph, bytes) else str(graph), options, providers=["CPUExecutionProvider"]
    )
    outputs = list(names) or [output.name for output in session.get_outputs()]

    def predict(inputs: "Arrays") -> dict[str, np.ndarray[Any, Any]]:
        size = len(next(iter(inputs.values())))
        parts = [
            session.run(outputs, {name: values[start : start + BATCH_ROWS] for name, values in inputs.items()})
            for start in range(0, size, BATCH_ROWS)
        ]
        return {name: np.concatenate(columns) for name, columns in zip(outputs, zip(*parts, strict=True), strict=True)}

    return predict
