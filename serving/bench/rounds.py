"""Alternating rounds: each contender starts afresh in every round, one at a time, and the order turns each time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from drillyard.core.errors import DrillyardError
from serving.bench import openloop, wrk
from serving.bench.openloop import OpenCell
from serving.bench.running import Running, check, settle, wait_until_right
from serving.bench.servers import Ground, Server
from serving.bench.workload import Workload

WARM_UP_S, WARM_UP_CONNECTIONS = 2.0, 16
OPEN_LOOP_SHARE = 0.8  # of the closed loop's rate: what is offered beyond that is not held by anybody


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One contender under one workload at one number of connections, in one round."""

    part: str
    round: int
    contender: str
    workload: str
    connections: int
    requests_per_s: float
    rows_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_request: float  # of all the contender's processes, not of the client
    client_cpu_share: float  # of one core
    requests: int
    errors: dict[str, int]  # by kind; any error fails the cell, and it takes no part in ratios


class Contender(Protocol):
    """Something that can be measured in a round of its own."""

    @property
    def name(self) -> str:
        """As the tables call it."""
        ...

    def measure(self, number: int, *, seconds: float) -> Iterator[Cell | OpenCell]:
        """Start, warm up, measure, end; each result as soon as it is there. Raises DrillyardError."""
        ...


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A workload and the numbers of connections at which it is measured."""

    work: Workload
    connections: tuple[int, ...]
    least_s: float = 0.0  # of each measurement, for requests of which a server answers few a second


@dataclass(frozen=True, kw_only=True)
class OverHttp:
    """A server under wrk, and in the first round under the open-loop generator at these rates (requests a second)."""

    part: str
    name: str
    server: Server
    ground: Ground
    asks: tuple[Ask, ...]
    rates: tuple[float, ...] = ()

    def measure(self, number: int, *, seconds: float) -> Iterator[Cell | OpenCell]:
        """See Contender."""
        first = self.asks[0].work
        with self.server.start(self.ground) as running:
            wait_until_right(running, first.questions)
            for ask in self.asks[1:]:
                check(running, ask.work.questions * 2)
            settle(running)
            wrk.run(running.url, first.questions, connections=WARM_UP_CONNECTIONS, seconds=WARM_UP_S)
            most = 0.0
            for ask in self.asks:
                for connections in ask.connections:
                    cell = self._cell(running, ask.work, connections, number, max(seconds, ask.least_s))
                    most = max(most, cell.requests_per_s if ask.work is first else 0.0)
                    yield cell
            for rate in self.rates if number == 0 else ():
                if rate <= OPEN_LOOP_SHARE * most:
                    yield openloop.run(running.url, self.ground.model, rate, contender=self.name, seconds=seconds)
            check(running, first.questions)  # still right after all that

    def _cell(self, running: Running, work: Workload, connections: int, number: int, seconds: float) -> Cell:
        before = running.cpu_s()
        found = wrk.run(running.url, work.questions, connections=connections, seconds=seconds)
        cpu_s = running.cpu_s() - before
        return Cell(
            part=self.part,
            round=number,
            contender=self.name,
            workload=work.name,
            connections=connections,
            requests_per_s=found.requests_per_s,
            rows_per_s=found.requests_per_s * work.rows,
            p50_ms=found.p50_ms,
            p99_ms=found.p99_ms,
            cpu_us_per_request=1e6 * cpu_s / found.requests,
            client_cpu_share=found.client_cpu_share,
            requests=found.requests,
            errors=found.errors,
        )


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Everything that came out of the rounds; `refused` names those that were not measured, and why."""

    cells: list[Cell]
    open_loop: list[OpenCell]
    refused: dict[str, str]


def run(contenders: Sequence[Contender], *, rounds: int, seconds: float, say: Callable[[str], None]) -> Measured:
    """All contenders in each round. One that answers wrongly, or not, is dropped with its reason."""
    found = Measured(cells=[], open_loop=[], refused={})
    for number in range(rounds):
        # To and fro, so that a machine that grows slower or faster over the run favours nobody.
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            if contender.name in found.refused:
                continue
            results: list[Cell | OpenCell] = []
            try:
                for result in contender.measure(number, seconds=seconds):
                    results.append(result)
                    say(f"round {number + 1}/{rounds}  {describe(result)}")
            except DrillyardError as error:  # a wrong answer, a server that does not start, wrk without an answer
                found.refused[contender.name] = str(error)
                say(f"{contender.name} is not measured: {error}")
                continue
            found.cells.extend(result for result in results if isinstance(result, Cell))
            found.open_loop.extend(result for result in results if isinstance(result, OpenCell))
    return found


def describe(result: Cell | OpenCell) -> str:
    """One line for people."""
    wrong = f"  FAILED {result.errors}" if result.errors else ""
    if isinstance(result, OpenCell):
        invalid = "" if result.valid else "  INVALID"
        return f"{result.contender:14} open loop at {result.rate_rps:g}/s  p99 {result.p99_ms:7.1f} ms{wrong}{invalid}"
    return (
        f"{result.contender:14} {result.workload:18} {result.connections:3} connections  "
        f"{result.requests_per_s:8,.0f} requests/s  p99 {result.p99_ms:7.1f} ms  "
        f"{result.cpu_us_per_request:6,.0f} us CPU{wrong}"
    )
