"""What is asked of a system, and when: loads as data. Times in seconds, rates in requests a second."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

from drillyard.core.contract import Frozen
from drillyard.core.errors import UsageError


class Poisson(Frozen):
    """Independent arrivals at the base rate; a long one is a soak test."""

    kind: Literal["poisson"] = "poisson"


class Bursts(Frozen):
    """A Markov-modulated Poisson process of two states, calm (the base rate) and burst."""

    kind: Literal["bursts"] = "bursts"
    factor: PositiveFloat = 5.0  # rate in a burst over the base rate
    calm_s: PositiveFloat = 8.0  # mean time in the state
    burst_s: PositiveFloat = 2.0


class Diurnal(Frozen):
    """A day's sine between night and peak, compressed in time, from night on; the base rate is the peak."""

    kind: Literal["diurnal"] = "diurnal"
    night: Annotated[float, Field(ge=0, le=1)] = 0.2  # rate at night over the base rate
    day_s: PositiveFloat = 60.0


class Ramp(Frozen):
    """A straight line from one multiple of the base rate to another over the whole drill."""

    kind: Literal["ramp"] = "ramp"
    start: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    end: PositiveFloat = 1.0


class Spike(Frozen):
    """The base rate, and for a while a multiple of it."""

    kind: Literal["spike"] = "spike"
    factor: PositiveFloat = 10.0
    at_s: Annotated[FiniteFloat, Field(ge=0)] = 10.0
    lasts_s: PositiveFloat = 10.0


class Steps(Frozen):
    """Multiples of the base rate, one after the other, for equal parts of the drill: step until it breaks."""

    kind: Literal["steps"] = "steps"
    factors: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (1.0, 2.0, 4.0, 8.0)


class Replay(Frozen):
    """A recorded trace: a text file with one arrival time in seconds a line, stretched to the base rate as its mean."""

    kind: Literal["replay"] = "replay"
    path: str
    every: PositiveInt = 1  # take each n-th arrival, so that a long trace keeps its rhythm in a small load


Shape = Annotated[Poisson | Bursts | Diurnal | Ramp | Spike | Steps | Replay, Field(discriminator="kind")]
_SHAPE: TypeAdapter[Shape] = TypeAdapter(Shape)


def parse_shape(text: str) -> Shape:
    """A shape's kind, or the shape as JSON with its kind and figures. Raises UsageError."""
    try:
        return _SHAPE.validate_json(text) if text.startswith("{") else _SHAPE.validate_python({"kind": text})
    except ValidationError as exc:
        kinds = "poisson, bursts, diurnal, ramp, spike, steps, or JSON with kind and figures"
        raise UsageError("shape", text, f"{kinds} ({exc.errors()[0]['msg']})") from exc


class Load(Frozen):
    """Open-loop arrivals: requests are sent at their intended times whether or not earlier ones were answered."""

    rate_rps: float  # the base rate; the shape multiplies it
    duration_s: float
    seed: int = 0
    shape: Shape = Poisson()

    @property
    def words(self) -> str:
        """For people: how much is asked, and how."""
        return f"{self.rate_rps:g} requests/s, {self.shape.kind} arrivals (seed {self.seed}) for {self.duration_s:g} s"


class ClosedLoad(Frozen):
    """A closed loop, for comparison and for service times: each user sends when its last request was answered."""

    users: PositiveInt
    duration_s: float
    rows: PositiveInt = 1  # samples in one request

    @property
    def words(self) -> str:
        """For people: how much is asked, and how."""
        return f"a closed loop of {self.users} users, {self.rows} rows a request, for {self.duration_s:g} s"
