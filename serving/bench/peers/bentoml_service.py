"""BentoML: a service with two workers whose methods run on the event loop, without access log, metrics and monitoring.

bentoml serve serving.bench.peers.bentoml_service:Service
"""

import os
from inspect import Parameter, Signature
from typing import Any

import bentoml
import numpy as np

from serving.bench.peers.model import PATH, Model

_OFF = {"enabled": False}


async def predict(service: "Service", **arrays: Any) -> dict[str, Any]:
    """Lists by output name."""
    return {name: array.tolist() for name, array in service.model.predict(arrays).items()}


# BentoML reads the form of a request from the parameters. A service for one model would write its inputs there as
# arrays, which is also the faster form; here they are known only once the model is.
_self = Parameter("service", Parameter.POSITIONAL_OR_KEYWORD)
_arrays = [Parameter(name, Parameter.KEYWORD_ONLY, annotation=np.ndarray) for name in Model().inputs]
predict.__signature__ = Signature([_self, *_arrays], return_annotation=dict[str, Any])  # type: ignore[attr-defined]


@bentoml.service(workers=2, logging={"access": _OFF}, metrics=_OFF, monitoring=_OFF)
class Service:
    """Two routes over one model."""

    def __init__(self) -> None:
        self.model = Model()

    predict = bentoml.api(route="/predict")(predict)

    @bentoml.api(route=os.environ[PATH])
    async def infer(self, document: dict[str, Any], /) -> dict[str, Any]:
        """The open inference protocol's form."""
        outputs = self.model.infer(document)["outputs"]
        return {"outputs": [{**each, "data": each["data"].tolist()} for each in outputs]}
