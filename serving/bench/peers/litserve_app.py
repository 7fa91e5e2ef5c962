"""LitServe with two HTTP processes in front of two workers.

python -m serving.bench.peers.litserve_app PORT
"""

import os
import sys
from typing import Any

import litserve

from serving.bench.peers.model import PATH, Model


class Api(litserve.LitAPI):
    """LitServe's four verbs. Takes rows by input name, and the open inference protocol's form."""

    def setup(self, device: str) -> None:  # noqa: ARG002 (LitServe's own signature)
        """Load the model, once a worker."""
        self._model = Model()

    def decode_request(self, request: dict[str, Any]) -> dict[str, Any]:
        """The document as LitServe read it."""
        return request

    def predict(self, x: dict[str, Any]) -> dict[str, Any]:
        """Arrays by output name, or the protocol's response."""
        return self._model.infer(x) if "inputs" in x else self._model.predict(x)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """The same with lists, as LitServe writes JSON with the standard library."""
        if "outputs" in output:
            return {"outputs": [{**each, "data": each["data"].tolist()} for each in output["outputs"]]}
        return {name: array.tolist() for name, array in output.items()}


if __name__ == "__main__":
    litserve.LitServer(Api(api_path=os.environ[PATH]), accelerator="cpu", workers_per_device=2, fast_queue=True).run(
        host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False, access_log=False
    )
