"""MLServer: a custom runtime around onnxruntime, as its documentation describes them.

mlserver start FOLDER        (with settings.json and model-settings.json in it, see serving/bench/servers.py)
"""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from serving.bench.peers.model import Model


class OnnxModel(MLModel):
    """Tensors in, tensors out; MLServer itself speaks the open inference protocol."""

    async def load(self) -> bool:
        """Called once in each process that infers."""
        self._model = Model()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """MLServer's codec makes the arrays."""
        outputs = self._model.predict({each.name: NumpyCodec.decode_input(each) for each in payload.inputs})
        return InferenceResponse(
            id=payload.id,
            model_name=self.name,
            outputs=[NumpyCodec.encode_output(name, array) for name, array in outputs.items()],
        )
