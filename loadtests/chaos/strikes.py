"""Carries out a plan's strikes while the generator, another process, sends the load.

Each blow has a thread that strikes and undoes, and one that watches the server's processes until they are whole again.
However the drill ends, what was injected is undone before the block is left.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Event, Thread

from drillyard.core.errors import UsageError
from drillyard.core.slo import Strike
from loadtests.chaos import faults
from loadtests.chaos.faults import Fault
from loadtests.chaos.injections import Inject
from loadtests.chaos.marks import Blow
from loadtests.chaos.target import Target
from loadtests.generator.progress import Progress

HEAL_TIMEOUT_S = 120.0  # after the blow; a server that is not whole by then is not waited for
_POLL_S = 0.25  # looking for processes reads all of /proc, on the cores that are being measured


@dataclass(kw_only=True)
class _Running:
    strike: Strike
    fault: Fault
    inject: Inject | None = None  # once it was prepared
    struck_s: float | None = None
    ended_s: float | None = None
    whole_s: float | None = None
    failure: BaseException | None = None
    threads: list[Thread] = field(default_factory=list)


class Strikes:
    """The strikes of one drill: `follow` starts them with the load, `finish` waits for the last and tells of all."""

    def __init__(self, strikes: tuple[Strike, ...], target: Target | None, answers: Callable[[], bool]) -> None:
        """`answers`: whether the server says that it is ready.

        Raises UsageError: a fault that is not known, or no server of this machine to strike.
        """
        if strikes and target is None:
            raise UsageError("strikes", [strike.fault for strike in strikes], "none without a server of this home")
        self._target, self._answers = target, answers
        ordered = sorted(strikes, key=lambda strike: strike.at_s)
        self._running = [_Running(strike=strike, fault=faults.get(strike.fault)) for strike in ordered]
        self._origin_s = 0.0  # when the load began, of time.monotonic; 0: not yet
        self._over, self._given_up = Event(), Event()  # the load ended; nobody waits for the marks

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """What the faults need before the load, and whatever they did undone at the end."""
        with ExitStack() as stack:
            for each in self._running:
                assert self._target is not None
                each.inject = stack.enter_context(each.fault.prepare(self._target))
            stack.callback(self._abandon)
            yield

    def follow(self, progress: Progress) -> None:
        """To be called with every line of the generator; raises what a blow raised, so that the drill ends."""
        if progress.phase == "drill" and not self._origin_s:
            self._origin_s = time.monotonic() - progress.t_s
            for each in self._running:
                self._start(each, partial(self._blow, each))
        self._check()

    def finish(self) -> list[Blow]:
        """Undo what still lasts, wait until the server is whole, and say when what happened. Raises as `follow`."""
        self._over.set()
        self._join()
        self._check()
        return [
            Blow(fault=each.fault.name, struck_s=each.struck_s, ended_s=each.ended_s, whole_s=each.whole_s)
            for each in self._running
            if each.struck_s is not None
        ]

    def _abandon(self) -> None:
        """Undo at once what still lasts, and wait for nothing else."""
        self._given_up.set()
        self._over.set()
        self._join()

    def _join(self) -> None:
        for each in self._running:
            for thread in each.threads:  # the blow appends its watcher while this loop waits for it
                thread.join()

    def _check(self) -> None:
        for each in self._running:
            if each.failure is not None:
                raise each.failure

    def _start(self, each: _Running, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except BaseException as failure:  # raised again in the main thread
                each.failure = failure

        thread = Thread(target=run, name=each.fault.name)
        each.threads.append(thread)
        thread.start()

    def _blow(self, each: _Running) -> None:
        assert self._target is not None
        assert each.inject is not None
        if self._over.wait(max(0.0, each.strike.at_s - self._now())):
            return
        before = each.fault.heals(self._target)
        each.struck_s = self._now()
        lasts_s = each.fault.lasts_s if each.strike.lasts_s is None else each.strike.lasts_s
        with each.inject(self._target, self._over):
            self._start(each, lambda: self._watch(each, before))
            self._over.wait(lasts_s)
        each.ended_s = self._now()

    def _watch(self, each: _Running, before: list[int]) -> None:
        assert self._target is not None
        assert each.struck_s is not None
        while not self._given_up.wait(_POLL_S) and self._now() - each.struck_s < HEAL_TIMEOUT_S:
            now = each.fault.heals(self._target)
            undone = bool(set(now) - set(before)) if each.fault.replaces else each.ended_s is not None
            if undone and len(now) >= len(before) and self._answers():
                each.whole_s = self._now()
                return

    def _now(self) -> float:
        return round(time.monotonic() - self._origin_s, 2)
