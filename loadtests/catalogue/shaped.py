"""Drills that differ in when requests come: the same promise under other arrivals.

The replayed trace is every 30th transaction of the ULB credit card data (its `Time` column, seconds over two days).
"""

from pathlib import Path

from drillyard.core.load import Bursts, Diurnal, Poisson, Ramp, Replay, Spike, Steps
from drillyard.core.slo import DrillPlan
from loadtests.catalogue.entry import Drill, at_least, at_most, base, expecting, promise, reshaped

TRACE = Path(__file__).parent / "traces" / "card-payments.txt"
DAYS = 2  # in a diurnal drill
QUIET = 0.5  # of the design's load, before and after a spike
DRIFT = 1.5


def _steady(plan: DrillPlan) -> DrillPlan:
    return expecting(plan, "At the load it was designed for, the system keeps its promise.", *promise(plan))


def _soak(plan: DrillPlan) -> DrillPlan:
    text = f"Nothing piles up: the last third of the time is at most {DRIFT} times as slow as the first."
    return expecting(reshaped(plan, Poisson()), text, *promise(plan), at_most("extra.drift", DRIFT))


def _bursts(plan: DrillPlan) -> DrillPlan:
    shape = Bursts(factor=3.0)
    text = f"Bursts of {shape.factor:g} times the load, some seconds each, are absorbed within the promise."
    return expecting(reshaped(plan, shape), text, *promise(plan))


def _diurnal(plan: DrillPlan) -> DrillPlan:
    shape = Diurnal(day_s=base(plan).duration_s / DAYS)
    text = "The peak of the day, not the mean, uses up the promise, and it holds; at night there is room to spare."
    return expecting(reshaped(plan, shape), text, *promise(plan), at_least("extra.good_share", 0.99))


def _ramp(plan: DrillPlan) -> DrillPlan:
    text = "Latency stays flat up to twice the design's load: also the last third of the ramp keeps the promise."
    return expecting(reshaped(plan, Ramp(start=0.0, end=2.0)), text, *promise(plan, "last"))


def _spike(plan: DrillPlan) -> DrillPlan:
    third_s = base(plan).duration_s / 3
    shape = Spike(factor=10.0, at_s=third_s, lasts_s=third_s)
    text = (
        "What is too much is refused at once, not queued: answers of the spike stay below five times the promised p99, "
        "refusals come within it, and one second after the spike the promise holds again."
    )
    bound_ms = plan.slo.p99_ms
    bounded = at_most("extra.phases.spike.p99_ms", 5 * bound_ms), at_most("extra.refusal_ms.p99", bound_ms)
    return expecting(reshaped(plan, shape, times=QUIET), text, *bounded, *promise(plan, "after"))


def _break(plan: DrillPlan) -> DrillPlan:
    text = "Twice the design's load holds; the first step that does not hold is where the system breaks."
    shape = Steps(factors=(1.0, 2.0, 3.0, 4.0, 6.0, 8.0))
    return expecting(reshaped(plan, shape), text, at_least("extra.kept_factor", 2.0))


def _replay(plan: DrillPlan) -> DrillPlan:
    text = "Real arrivals, burstier than a Poisson process of the same mean, are served within the promise."
    load, recorded = base(plan), len(TRACE.read_text().split())
    every = max(1, round(recorded / (load.rate_rps * load.duration_s)))  # so that the whole trace goes by
    return expecting(reshaped(plan, Replay(path=str(TRACE), every=every)), text, *promise(plan))


SHAPED = (
    Drill(
        name="steady",
        teaches="Independent callers at the design's rate: what the promise was made for.",
        plan=_steady,
    ),
    Drill(
        name="soak",
        teaches="Leaks, growing queues and throttling show only with time: compare the last third with the first.",
        duration_s=60,
        plan=_soak,
    ),
    Drill(
        name="bursts",
        teaches="The same mean rate hurts more when arrivals come in clumps: queues grow in the burst.",
        duration_s=40,
        plan=_bursts,
    ),
    Drill(
        name="diurnal",
        teaches="Capacity is bought for the peak: a mean over the day hides both the peak and what idles at night.",
        duration_s=30,
        plan=_diurnal,
    ),
    Drill(
        name="ramp",
        teaches="Latency over utilisation: flat, then a knee; the knee is the capacity that can be used.",
        duration_s=30,
        plan=_ramp,
    ),
    Drill(
        name="spike",
        teaches="Overload: a bounded queue refuses early and recovers at once, an unbounded one stays slow long after.",
        duration_s=30,
        plan=_spike,
    ),
    Drill(
        name="break",
        teaches="Where the system breaks, and how: by latency, by refusals or by errors.",
        duration_s=36,
        plan=_break,
    ),
    Drill(
        name="replay",
        teaches="Recorded traffic has a rhythm that no formula has: two days of card payments in half a minute.",
        duration_s=30,
        plan=_replay,
    ),
)
