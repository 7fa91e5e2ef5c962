"""Ray Serve as its quick start has it: a class with a FastAPI route, behind Serve's own Python proxy, default settings.

python -m serving.bench.peers.ray_default PORT FOLDER        (FOLDER: for Ray's temporary files; runs until SIGTERM)
"""

import signal
import sys
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve

from serving.bench.peers.model import Model

REPLICAS = 2

app = FastAPI()


@serve.deployment(num_replicas=REPLICAS, ray_actor_options={"num_cpus": 1})
@serve.ingress(app)
class Predictor:
    """The quick start's shape: typed JSON in, a dictionary out."""

    def __init__(self) -> None:
        self._model = Model()

    @app.post("/predict")
    async def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Rows by input name, lists by output name."""
        return {name: array.tolist() for name, array in self._model.predict(inputs).items()}

    @app.post("/v2/models/{name}/infer")
    async def infer(self, document: dict[str, Any]) -> dict[str, Any]:
        """The same, as the open inference protocol has it."""
        outputs = self._model.infer(document)["outputs"]
        return {"outputs": [{**each, "data": each["data"].tolist()} for each in outputs]}


def main() -> None:
    """Serve until SIGTERM."""
    port, folder = int(sys.argv[1]), sys.argv[2]
    ray.init(num_cpus=REPLICAS, include_dashboard=False, log_to_driver=False, _temp_dir=folder)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Predictor.bind())  # type: ignore[attr-defined]  # the decorator makes it a Deployment
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
