"""What the twin says of a design's capacity: the design's load, spread over machines like the one it was calibrated on.

A calibration is this folder's (`drillyard twin calibrate`), else that of docs/results/bench-twin.json.
"""

import json
from pathlib import Path

from pydantic import ValidationError

from designs import evidence
from designs.opened import Opened
from designs.plan import Demand, NodeType, plan
from designs.twin.predict import predict, sustainable_rps
from designs.twin.types import Calibration, Prediction, Scenario, Span
from drillyard.core.contract import Frozen
from drillyard.core.errors import UsageError
from drillyard.core.load import Load

LOAD_S = 30.0


class Capacity(Frozen):
    """One machine's part of the peak, and how many such machines the peak takes."""

    machine: str
    cores: int
    replicas: int  # on the machine
    rate_rps: float  # its part of the peak
    prediction: Prediction
    sustainable_rps: Span  # of one machine within the design's promise
    machines: int  # that keep the planned utilisation at the peak with a zone lost
    utilisation_after_loss: float  # share of their capacity


def capacity(opened: Opened, calibration: Calibration) -> Capacity:
    """The design's peak on machines like the calibrated one, callers elsewhere.

    Raises InvalidMeasurement, UsageError.
    """
    figures, design = opened.figures, opened.design
    peak_rps = figures[design.rate_key].value
    rate_rps = peak_rps * calibration.replicas / figures[design.replicas_key].value
    scenario = Scenario(
        load=Load(rate_rps=rate_rps, duration_s=LOAD_S),
        slo=design.drill.slo,
        replicas=calibration.replicas,
        generator_on_node=False,
    )
    highest = sustainable_rps(calibration, scenario)
    if not highest.value:
        raise UsageError("calibration", calibration.model, "one in which some rate keeps the design's promise")
    zones = int(figures["zones_count"].value)
    try:
        demand = Demand(peak_rps=peak_rps, zones_per_region=zones, lost_zones=1)
        node = NodeType(
            capacity_rps=highest.value,
            usd_per_hour=figures["core_hour_eur"].value * calibration.cores,  # its currency is the input's
            utilisation_target=figures["target_utilisation_ratio"].value,
            capacity_source=f"twin of {calibration.model}, {calibration.commit}",
        )
    except ValidationError as error:
        wrong = error.errors()[0]
        raise UsageError(
            str(wrong["loc"][0]), wrong["input"], f"a figure that can be planned: {wrong['msg']}"
        ) from None
    needed = plan(demand, node)
    return Capacity(
        machine=calibration.machine,
        cores=calibration.cores,
        replicas=calibration.replicas,
        rate_rps=rate_rps,
        prediction=predict(calibration, scenario),
        sustainable_rps=highest,
        machines=needed.nodes,
        utilisation_after_loss=needed.utilisation_after_loss,
    )


def calibration(model: str, home: Path) -> Calibration | None:
    """The twin's calibration for a model; None when it was calibrated nowhere. Raises UsageError on a damaged file."""
    path = home / "twin" / f"{model}.json"
    if path.exists():
        return _read(str(path), path.read_bytes())
    content = evidence.read_result("bench-twin")
    if content is None or model not in content["systems"]:
        return None
    return _read("docs/results/bench-twin.json", json.dumps(content["systems"][model]["calibration"]).encode())


def _read(path: str, text: bytes) -> Calibration:
    try:
        return Calibration.model_validate_json(text)
    except ValidationError as error:
        raise UsageError("calibration", path, f"what `drillyard twin calibrate` writes: {error.errors()[0]}") from None
