"""What the engine gives up is counted, and by its reason."""

import asyncio

import numpy as np
import pytest

from serving.engine import Engine
from serving.predictor import Predictor
from serving.protocol.asgi import ClientGoneError
from serving.protocol.patience import DeadlinePassedError, Patience
from serving.protocol.v2 import InferRequest
from serving.recipes import Batching
from tests.serving.conftest import MeasuringFake


@pytest.mark.parametrize(
    ("patience", "error", "reason"),
    [
        (Patience(timeout_ms=5, deadline=0.0), DeadlinePassedError, "deadline"),
        (Patience(gone=lambda: True), ClientGoneError, "client gone"),
    ],
)
def test_what_is_given_up_is_counted(
    predictors: dict[str, Predictor], patience: Patience, error: type[Exception], reason: str
) -> None:
    measuring = MeasuringFake()
    predictor = predictors["fraud"]
    engine = Engine(predictor, measuring, Batching())
    spec = predictor.card.inputs[0]
    rows = np.zeros((1, *spec.shape[1:]), np.float32)
    request = InferRequest(id=None, inputs={spec.name: rows}, outputs=(predictor.card.outputs[0].name,))
    with pytest.raises(error):
        asyncio.run(engine.infer(request, patience=patience))
    assert measuring.given_up == [reason]
    assert measuring.rows == []
