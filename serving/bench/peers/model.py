"""The model as every peer holds it: one onnxruntime session, documents out of JSON in, arrays out."""

import os
from typing import Any

import numpy as np
import onnxruntime

# Environment variables: the path of the ONNX file, and the route of the open inference protocol.
MODEL, PATH = "BENCH_MODEL", "BENCH_PATH"
_NUMPY = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}
_PROTOCOL = {"float32": "FP32", "uint8": "UINT8", "int64": "INT64", "bool": "BOOL"}


class Model:
    """A session with one thread, set up as this project's own replicas have it."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(os.environ[MODEL], options, providers=["CPUExecutionProvider"])
        self.inputs = {node.name: _NUMPY[node.type] for node in self._session.get_inputs()}
        self._outputs = [node.name for node in self._session.get_outputs()]

    def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Rows by input name (nested lists or arrays) to arrays by output name."""
        arrays = {name: np.asarray(inputs[name], dtype) for name, dtype in self.inputs.items()}
        return dict(zip(self._outputs, self._session.run(self._outputs, arrays), strict=True))

    def infer(self, document: dict[str, Any]) -> dict[str, Any]:
        """A request of the Open Inference Protocol v2 to its response, `data` still arrays."""
        outputs = self.predict({each["name"]: np.reshape(each["data"], each["shape"]) for each in document["inputs"]})
        described = [
            {"name": name, "datatype": _PROTOCOL[array.dtype.name], "shape": array.shape, "data": array.reshape(-1)}
            for name, array in outputs.items()
        ]
        return {"outputs": described}
