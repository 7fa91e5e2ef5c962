"""How the requests of a drill differ from a model's own samples sent once: as data."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from drillyard.core.contract import Frozen


class Poison(Frozen):
    """A share of the requests is malformed. Right for them is a 4xx; the others must not suffer."""

    kind: Literal["poison"] = "poison"
    share: Annotated[float, Field(gt=0, lt=1)] = 0.1


class Drift(Frozen):
    """Every request is drawn from elsewhere than the model was trained on, so its answer cannot be held against one.

    What is done is chosen by the card's tensors: images are darkened and blurred, columns of real numbers are shifted.
    """

    kind: Literal["drift"] = "drift"
    strength: PositiveFloat = 0.5  # share of an image's brightness taken away; shift in standard deviations
    features: tuple[str, ...] = ()  # labels of the columns that are shifted; none: all


Traffic = Annotated[Poison | Drift, Field(discriminator="kind")]


class Retries(Frozen):
    """What clients do about a request that was refused, timed out or lost its connection; the caller waits for all."""

    attempts: PositiveInt = 4  # sends of one request at most
    timeout_s: PositiveFloat = 10.0  # of one attempt
    backoff_s: NonNegativeFloat = 0.0  # mean pause before the first retry; each next one is twice as long, and random
    budget: NonNegativeFloat | None = None  # retries for each request on average; None: no limit
