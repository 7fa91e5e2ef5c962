"""A design with all that belongs to it: data, evidence, figures and prose."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import designs
from designs import binding, evidence
from designs.design import Design
from designs.evidence import Evidence
from designs.figures import Figure, Input, compute
from loadtests.catalogue.entry import base


@dataclass(frozen=True, kw_only=True)
class Opened:
    """One design as it lies in its folder."""

    design: Design
    evidence: Mapping[str, Evidence]
    figures: Mapping[str, Figure]

    @property
    def readme(self) -> Path:
        """Its prose."""
        return evidence.ROOT / "designs" / self.design.name / "README.md"

    def fill(self, template: str) -> str:
        """A text of the design with its figures written and bound. Raises KeyError on an unknown key."""
        return binding.fill(template, self.figures)


def open_design(name: str, given: Mapping[str, float] | None = None) -> Opened:
    """The design of that name, with the figures given in place of its own. Raises UsageError."""
    design = designs.get(name)
    found = evidence.read(name)
    inputs = (*design.inputs, *_promise(design), *_rubric(design))
    return Opened(design=design, evidence=found, figures=compute(inputs, found, design.estimates, given))


def _promise(design: Design) -> list[Input]:
    """What the drill asks and promises, as figures."""
    slo, load = design.drill.slo, base(design.drill)
    rows = (
        ("slo_p50_ms", slo.p50_ms, "ms", "promised median latency"),
        ("slo_p99_ms", slo.p99_ms, "ms", "promised p99 latency"),
        ("slo_error_ratio", slo.max_error_rate, "", "promised share of failed requests, at most"),
        ("drill_rate_rps", load.rate_rps, "requests/s", "load of the design's drill"),
        ("drill_duration_s", load.duration_s, "s", "length of the design's drill"),
    )
    return [
        Input(key=key, value=value, unit=unit, says=says, source="design.py: drill") for key, value, unit, says in rows
    ]


def _rubric(design: Design) -> list[Input]:
    """How near an estimate must be to be good, as figures."""
    says = "factor within which an estimate is good"
    return [
        Input(key=each.within_key, value=each.within_factor, unit="", says=says, source="rubric")
        for each in design.rubric
    ]
