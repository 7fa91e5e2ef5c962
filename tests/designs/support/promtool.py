"""Made-up traffic put to Debian's promtool, and the same traffic put to the drill's own alert rules."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from designs.design import Design
from designs.monitoring import rules
from drillyard.core import budget
from drillyard.core.burn import WORKBOOK, Firing, Objective, compressed, firings
from serving import catalogue
from tests.support import needs

Firings = set[tuple[str, str]]  # objective and rule
PASSED = (0, "Unit Testing:  test.yml\n  SUCCESS\n\n")
FIRING = 'count by (objective, rule) (ALERTS{alertstate="firing",rule!=""})'


def needs_promtool() -> None:
    """Skip where it is not installed."""
    needs.program("promtool", "prometheus")


Parts = Sequence[tuple[int, float]]  # (seconds, bad share of the requests), one after the other


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Requests to one design's model: constant rate, parts of it bad. Times in seconds, whole steps."""

    design: Design
    bad: Mapping[str, Parts]  # by objective, all equally long
    step_s: int  # between two scrapes
    rps: float = 1000.0

    @property
    def seconds(self) -> int:
        return sum(seconds for seconds, _ in next(iter(self.bad.values())))

    @property
    def _all(self) -> float:
        """Requests of a step."""
        return self.rps * self.step_s

    def _bad(self, objective: str) -> list[float]:
        """Bad requests of each step."""
        parts = self.bad.get(objective, ((self.seconds, 0.0),))
        return [self._all * share for seconds, share in parts for _ in range(seconds // self.step_s)]

    def firings(self) -> tuple[Firing, ...]:
        """What the drill's own rules make of it, a step taken for a second."""
        found = []
        for objective, allowed in budget.allowed(self.design.drill).items():
            bad = tuple(self._bad(objective))
            measured = Objective(name=objective, allowed=allowed, bad=bad, total=(self._all,) * len(bad))
            found += firings(measured, compressed(WORKBOOK, self.step_s), self._all)
        return tuple(map(self._in_seconds, found))

    def _in_seconds(self, firing: Firing) -> Firing:
        to_s = None if firing.to_s is None else firing.to_s * self.step_s
        return firing.model_copy(update={"from_s": firing.from_s * self.step_s, "to_s": to_s})

    def series(self) -> list[dict[str, str]]:
        """What the server would export of it."""
        failed, slow = self._bad(budget.AVAILABILITY), self._bad(budget.LATENCY)
        who = f'model="{self.design.drill.model}",version="1",variant="champion"'
        requests, latency = catalogue.REQUESTS.exposed_name, catalogue.LATENCY.name
        bound = f'le="{self.design.drill.slo.p99_ms / 1000:g}"'
        return [
            _counter(f'{requests}{{{who},code="200"}}', [self._all - each for each in failed]),
            _counter(f'{requests}{{{who},code="500"}}', failed),
            _counter(f"{latency}_bucket{{{who},{bound}}}", [self._all - each for each in slow]),
            _counter(f"{latency}_count{{{who}}}", [self._all] * len(slow)),
        ]


def burning(design: Design, *parts: tuple[int, float], step_s: int = 60) -> Traffic:
    """Each budget of the design burns so many times as fast as allowed, for so many seconds; a part after the other."""
    allowed = {objective: share for objective, share in budget.allowed(design.drill).items() if share}
    bad = {objective: [(seconds, burn * share) for seconds, burn in parts] for objective, share in allowed.items()}
    return Traffic(design=design, bad=bad, step_s=step_s)


def _counter(name: str, a_step: Sequence[float]) -> dict[str, str]:
    return {"series": name, "values": " ".join(f"{count:.12g}" for count in accumulate([0.0, *a_step]))}


def firing_at(firings: Sequence[Firing], at_s: float) -> Firings:
    """Objective and rule of what fires at that time."""
    return {
        (each.objective, each.rule)
        for each in firings
        if each.from_s <= at_s and (each.to_s is None or at_s < each.to_s)
    }


def case(traffic: Traffic, expected: Mapping[int, Firings]) -> dict[str, Any]:
    """A test of promtool's: at those times exactly these fire."""
    return {
        "interval": f"{traffic.step_s}s",
        "input_series": traffic.series(),
        "promql_expr_test": [
            {
                "expr": FIRING,
                "eval_time": f"{at_s}s",
                "exp_samples": [
                    {"labels": f'{{objective="{objective}",rule="{rule}"}}', "value": 1}
                    for objective, rule in sorted(wanted)
                ],
            }
            for at_s, wanted in expected.items()
        ],
    }


def run(folder: Path, design: Design, cases: Sequence[Mapping[str, Any]], every_s: int) -> tuple[int, str]:
    """`promtool test rules` with the rules of that design, computed every so many seconds; exit status and output."""
    groups = rules.groups([design])
    (folder / "rules.yml").write_text(rules.rule_file(groups))
    content = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{every_s}s",
        "group_eval_order": [group.name for group in groups],
        "tests": list(cases),
    }
    (folder / "test.yml").write_text(json.dumps(content))  # JSON is YAML
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout + done.stderr
