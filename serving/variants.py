"""Which versions of a model are served and who answers which request, and what replicas report of it. No Ray here."""

from dataclasses import dataclass, field
from zlib import crc32

from drillyard.core.errors import UsageError

_SLOTS = 10_000  # a percentage is exact to a hundredth


@dataclass(frozen=True, kw_only=True)
class Variants:
    """What the supervisor publishes and every replica of a model follows. Raises UsageError."""

    revision: int  # grows with each change: a replica can tell old from new
    champion: int  # version that answers what the challenger does not
    challenger: int | None = None  # version on trial
    percent: float = 0.0  # of the requests without an explicit version, answered by the challenger (a canary)
    shadow: bool = False  # instead: the challenger gets copies, and its answers are compared, never returned
    slow_s: float = 0.05  # an answer that took longer is counted as slow; a bound of the latency histogram

    def __post_init__(self) -> None:
        if self.challenger is None and (self.percent or self.shadow):
            raise UsageError("challenger", None, "a version, when it is to get requests")
        if self.challenger == self.champion:
            raise UsageError("challenger", self.challenger, "a version other than the champion")
        if not 0 <= self.percent <= 100:
            raise UsageError("percent", self.percent, "a number above 0 and at most 100")
        if self.challenger is not None and self.shadow == (self.percent > 0):
            raise UsageError("percent", self.percent, "more than 0 for a canary, 0 for a shadow")

    @property
    def versions(self) -> tuple[int, ...]:
        """All that must be loaded."""
        return (self.champion,) if self.challenger is None else (self.champion, self.challenger)

    def challenger_answers(self, key: str) -> bool:
        """Whether a canary answers the request with this id.

        The same id always meets the same version, on every replica; raising the percentage moves ids to the challenger
        and none away from it. Another challenger gets other ids.
        """
        return crc32(f"{self.challenger}:{key}".encode()) % _SLOTS < self.percent * (_SLOTS // 100)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Requests that one variant answered."""

    answered: int = 0  # with what the model said, or a 500
    failed: int = 0  # of those, with a 500
    slow: int = 0  # of those, later than the bound of the limits

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            answered=self.answered + other.answered, failed=self.failed + other.failed, slow=self.slow + other.slow
        )

    def __sub__(self, other: "Tally") -> "Tally":
        return Tally(
            answered=self.answered - other.answered, failed=self.failed - other.failed, slow=self.slow - other.slow
        )


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Requests that both versions computed."""

    agreed: int = 0
    disagreed: int = 0
    failed: int = 0  # the copy could not be computed
    dropped: int = 0  # not compared, because the replica had enough to do
    max_difference: float = 0.0  # of any element of a floating point output

    def __add__(self, other: "Compared") -> "Compared":
        return Compared(
            agreed=self.agreed + other.agreed,
            disagreed=self.disagreed + other.disagreed,
            failed=self.failed + other.failed,
            dropped=self.dropped + other.dropped,
            max_difference=max(self.max_difference, other.max_difference),
        )

    def __sub__(self, other: "Compared") -> "Compared":
        return Compared(
            agreed=self.agreed - other.agreed,
            disagreed=self.disagreed - other.disagreed,
            failed=self.failed - other.failed,
            dropped=self.dropped - other.dropped,
            max_difference=self.max_difference,
        )


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What a replica has counted for the versions it serves, since it started."""

    champion: Tally = field(default_factory=Tally)
    challenger: Tally = field(default_factory=Tally)
    compared: Compared = field(default_factory=Compared)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            champion=self.champion + other.champion,
            challenger=self.challenger + other.challenger,
            compared=self.compared + other.compared,
        )

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(
            champion=self.champion - other.champion,
            challenger=self.challenger - other.challenger,
            compared=self.compared - other.compared,
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """One replica's answer to the supervisor."""

    replica: str  # names one process for good
    variants: Variants  # what it serves
    refused: str | None  # why it does not serve what it was told last
    counts: Counts


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What all replicas of a model said; `failed` has a line for each that did not answer."""

    reports: tuple[Report, ...]
    failed: tuple[str, ...]
