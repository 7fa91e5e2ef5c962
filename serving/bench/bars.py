"""Ratios with their spread, and the bars they are held against."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from serving.bench.parts import MANY_IMAGES, MANY_ROWS, ONE_IMAGE_BINARY, ONE_ROW, SATURATING
from serving.bench.rounds import Cell

OURS = "drillyard-2"


@dataclass(frozen=True, kw_only=True)
class Which:
    """The cells of one contender under one workload, over all rounds."""

    part: str
    contender: str
    workload: str
    connections: int = SATURATING

    def by_round(self, cells: Iterable[Cell]) -> dict[int, Cell]:
        """Those without an error."""
        wanted = (self.part, self.contender, self.workload, self.connections)
        return {
            cell.round: cell
            for cell in cells
            if (cell.part, cell.contender, cell.workload, cell.connections) == wanted and not cell.errors
        }


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What a ratio of rows a second must reach; `lower_p99` demands a lower p99 latency too."""

    over: Which
    under: Which
    least: float
    lower_p99: bool


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """One figure over another, round by round."""

    median: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A bar with what was measured; None where no round has both sides without an error."""

    bar: Bar
    rows_per_s: Ratio | None
    p99: Ratio | None

    @property
    def passed(self) -> bool:
        """By the medians."""
        if self.rows_per_s is None or self.p99 is None:
            return False
        return self.rows_per_s.median >= self.bar.least and (self.p99.median < 1 or not self.bar.lower_p99)


def _one_row(contender: str) -> Which:
    return Which(part="rows", contender=contender, workload=ONE_ROW)


def _against(contender: str, least: float, *, lower_p99: bool) -> Bar:
    return Bar(over=_one_row(OURS), under=_one_row(contender), least=least, lower_p99=lower_p99)


BARS = (
    _against("mlserver", 2.5, lower_p99=True),
    _against("litserve", 4.0, lower_p99=True),
    _against("bentoml", 5.0, lower_p99=True),
    _against("ray-default", 12.0, lower_p99=True),
    _against("fastapi", 0.8, lower_p99=False),
    Bar(
        over=Which(part="rows", contender=OURS, workload=MANY_ROWS),
        under=_one_row(OURS),
        least=10.0,
        lower_p99=False,
    ),
    *(
        Bar(
            over=Which(part="images", contender=f"drillyard-{count}", workload=workload),
            under=Which(part="images", contender=f"in-process-{count}", workload=workload, connections=0),
            least=0.85,
            lower_p99=False,
        )
        for workload in (MANY_IMAGES, ONE_IMAGE_BINARY)
        for count in (1, 2)
    ),
)


def ratio(cells: Sequence[Cell], over: Which, under: Which, field: str) -> Ratio | None:
    """`field` of the one over `field` of the other in each round that has both; None when no round has."""
    above, below = over.by_round(cells), under.by_round(cells)
    values = [getattr(above[number], field) / getattr(below[number], field) for number in above if number in below]
    if not values:
        return None
    return Ratio(median=median(values), low=min(values), high=max(values), rounds=len(values))


def judge(cells: Sequence[Cell], refused: Iterable[str]) -> list[Judged]:
    """Every bar whose part was measured and whose two contenders were asked, also one that was refused then."""
    parts = {cell.part for cell in cells}
    asked = {cell.contender for cell in cells} | set(refused)
    return [
        Judged(
            bar=bar,
            rows_per_s=ratio(cells, bar.over, bar.under, "rows_per_s"),
            p99=ratio(cells, bar.over, bar.under, "p99_ms"),
        )
        for bar in BARS
        if bar.over.part in parts and {bar.over.contender, bar.under.contender} <= asked
    ]
