"""What a design promises, as typed data."""

from drillyard.core.contract import Frozen
from drillyard.core.slo import DrillPlan


class Design(Frozen):
    """One system's promise and the drill that checks it on one laptop."""

    name: str  # also the registered model's name
    question: str
    drill: DrillPlan
