"""Measurements on a machine that others take cores from: begun when it is left alone, taken again when it was not.

A virtual machine's host gives its cores to others for seconds or minutes ("steal" in proc(5), /proc/stat). A load
generator that is not run is late, and a drill whose generator was late says nothing of the system.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from drillyard.core.errors import InvalidMeasurement
from drillyard.core.slo import DrillResult
from loadtests.judge.verdict import fell_behind

MAX_STEAL_SHARE = 0.03  # of all cores' time
LOOK_S = 1.0
PATIENCE_S = (20.0, 40.0, 80.0, 160.0)  # for each try; after that it is begun all the same: it judges itself

Say = Callable[[str], None]
T = TypeVar("T")


def kept_up(measure: Callable[[], DrillResult], say: Say) -> DrillResult:
    """The first drill whose generator kept up, or the last of four. Raises InvalidMeasurement as the last one did."""
    return taken(measure, say, spoilt=late)


def undisturbed(measure: Callable[[], T], say: Say) -> T:
    """The first measurement during which others left this machine's cores alone, or the last of four.

    For what a delay of milliseconds spoils. Raises InvalidMeasurement as the last one did.
    """
    return taken(lambda: steal_during(measure), say, spoilt=_stolen)[0]


def taken(measure: Callable[[], T], say: Say, *, spoilt: Callable[[T], str] = lambda _: "") -> T:
    """The first measurement that could be taken and is not spoilt (says why, if it is), or the last of four.

    Raises InvalidMeasurement as the last one did.
    """
    for left, patience_s in zip(reversed(range(len(PATIENCE_S))), PATIENCE_S, strict=True):
        wait_until_left_alone(say, patience_s)
        try:
            found = measure()
        except InvalidMeasurement as refusal:
            if not left:
                raise
            say(f"{refusal}; once more")
            continue
        if not (why := spoilt(found)):
            break
        say(f"{why}; {'once more' if left else 'the last of its tries'}")
    return found


def _stolen(measured: tuple[T, float]) -> str:
    share = measured[1]
    return f"others took {share:.0%} of this machine's cores meanwhile" if share > MAX_STEAL_SHARE else ""


def late(result: DrillResult) -> str:
    """Why the figures are the generator's own, or nothing."""
    if not fell_behind(result.late_sends, result.requests):
        return ""
    return (
        f"{result.plan.load.words}: the generator fell behind, {result.late_sends} of {result.requests} sends were late"
    )


def wait_until_left_alone(say: Say, patience_s: float = PATIENCE_S[0]) -> None:
    """Return when others take hardly anything of this machine's cores, or when patience ends."""
    deadline = time.monotonic() + patience_s
    told = False
    while (share := steal_share(LOOK_S)) > MAX_STEAL_SHARE and time.monotonic() < deadline:
        if not told:
            say(f"others take {share:.0%} of this machine's cores: waiting for them, {patience_s:.0f} s at most")
            told = True


def steal_share(seconds: float) -> float:
    """The share of all cores' time that others took in the seconds to come."""
    return steal_during(lambda: time.sleep(seconds))[1]


def steal_during(work: Callable[[], T]) -> tuple[T, float]:
    """What the work returns, and the share of all cores' time that others took meanwhile."""
    before = _cpu_ticks()
    found = work()
    passed = [after - earlier for earlier, after in zip(before, _cpu_ticks(), strict=True)]
    return found, passed[7] / max(1, sum(passed))


def _cpu_ticks() -> list[int]:
    """User, nice, system, idle, I/O wait, interrupts (two kinds), steal, of all cores together."""
    return [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
