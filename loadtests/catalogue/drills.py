"""The catalogue of drills: a drill is a load, faults, a promise and a hypothesis, made from any design's plan.

A new system needs nothing here; a new drill is one `Drill` in one of the modules below.
"""

from drillyard.core.errors import UsageError
from loadtests.catalogue.entry import Drill
from loadtests.catalogue.omission import OMISSION
from loadtests.catalogue.scenarios import SCENARIOS
from loadtests.catalogue.shaped import SHAPED
from loadtests.catalogue.struck import STRUCK, TRAFFIC

CATALOGUE: dict[str, Drill] = {drill.name: drill for drill in (*SHAPED, *SCENARIOS, OMISSION, *STRUCK, *TRAFFIC)}


def get(name: str) -> Drill:
    """The drill of that name. Raises UsageError."""
    try:
        return CATALOGUE[name]
    except KeyError:
        raise UsageError("drill", name, "one of " + ", ".join(CATALOGUE)) from None
