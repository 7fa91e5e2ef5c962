"""A hot model: another model of the same server is asked for more than it can do, beside the drill."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from drillyard.core.errors import InvalidMeasurement, UsageError
from drillyard.core.load import Load
from drillyard.core.slo import DrillPlan, Slo
from loadtests.chaos.target import Target
from loadtests.generator.child import generator

RATE_RPS = 1500.0  # more than one replica of a convolutional network answers on one core
_LONGEST_S = 600.0


@contextmanager
def hot(target: Target, over: Event) -> Iterator[None]:
    """The first other model that the server serves takes all the load, from the moment that the block is entered.

    Raises UsageError when there is none, InvalidMeasurement when the load did not come about.
    """
    others = sorted(set(target.models) - {target.model})
    if not others:
        raise UsageError("models", ", ".join(target.models), "two served models, of which one gets hot")
    (name, version) = others[0], target.models[others[0]]
    slo = Slo(p50_ms=1000, p99_ms=1000, max_error_rate=1)  # nobody judges it
    plan = DrillPlan(model=name, load=Load(rate_rps=RATE_RPS, duration_s=_LONGEST_S), slo=slo)
    samples = target.settings.models / name / str(version)
    with tempfile.TemporaryDirectory(prefix="drillyard-") as scratch:
        folder = Path(scratch)
        running = generator(
            plan,
            url=target.url,
            samples=samples,
            out=folder / "result.json",
            api_key=target.settings.api_key,
            scratch=folder,
        )
        with running as child:
            assert child.stdout is not None
            while '"drill"' not in child.stdout.readline():  # it measures its limit and warms up first
                if over.is_set() or child.poll() is not None:
                    break
            yield
            if child.poll() is not None and not over.is_set():
                raise InvalidMeasurement(f"nobody asked the hot model: {(folder / 'stderr').read_text()[-500:]}")
