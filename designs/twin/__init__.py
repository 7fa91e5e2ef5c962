"""The twin: a queueing model of a running server, calibrated on it, that answers for loads and sizes it was not asked.

`predict(calibration, scenario)` and `sustainable_rps(calibration, scenario)` are what callers need; docs/twin.md says
what is modelled and how well it predicts.
"""

from designs.twin.predict import predict, sustainable_rps
from designs.twin.types import BatchTime, Calibration, Outage, Point, Prediction, Round, Scaling, Scenario, Span

__all__ = [
    "BatchTime",
    "Calibration",
    "Outage",
    "Point",
    "Prediction",
    "Round",
    "Scaling",
    "Scenario",
    "Span",
    "predict",
    "sustainable_rps",
]
