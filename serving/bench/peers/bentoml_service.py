"""BentoML: a service with two workers whose methods run on the event loop, without access log, metrics and monitoring.

bentoml serve serving.bench.peers.bentoml_service:Service
"""

import os
from typing import Any

import bentoml

from serving.bench.peers.model import PATH, Model

_OFF = {"enabled": False}


@bentoml.service(workers=2, logging={"access": _OFF}, metrics=_OFF, monitoring=_OFF)
class Service:
    """Two routes over one model."""

    def __init__(self) -> None:
        self._model = Model()

    @bentoml.api(route="/predict")
    async def predict(self, document: dict[str, Any], /) -> dict[str, Any]:
        """Rows by input name, lists by output name."""
        return {name: array.tolist() for name, array in self._model.predict(document).items()}

    @bentoml.api(route=os.environ[PATH])
    async def infer(self, document: dict[str, Any], /) -> dict[str, Any]:
        """The same, as the open inference protocol has it."""
        outputs = self._model.infer(document)["outputs"]
        return {"outputs": [{**each, "data": each["data"].tolist()} for each in outputs]}
