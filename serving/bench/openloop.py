"""The open loop: the project's own load generator as a program of its own, since siblings do not import each other."""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from drillyard.core.errors import InvalidMeasurement
from drillyard.core.load import Load
from drillyard.core.slo import DrillPlan, DrillResult, Slo, Verdict
from serving.artifact import LocalModel

_P99_BOUND_MS = 1000.0  # no promise is judged here; the generator wants one


@dataclass(frozen=True, kw_only=True)
class OpenCell:
    """One contender under Poisson arrivals; latency counts from the intended send time."""

    contender: str
    rate_rps: float
    p50_ms: float
    p99_ms: float
    requests: int
    errors: dict[str, int]  # by kind, wrong answers too
    valid: bool  # False: the drill was INVALID, so the figures say little


def run(url: str, model: LocalModel, rate_rps: float, *, contender: str, seconds: float) -> OpenCell:
    """Send the model's own samples, every answer checked. Raises InvalidMeasurement when the generator crashes."""
    slo = Slo(p50_ms=_P99_BOUND_MS, p99_ms=_P99_BOUND_MS, max_error_rate=0.0)
    load = Load(rate_rps=rate_rps, duration_s=seconds)  # short, as every server has the same few seconds
    plan = DrillPlan(model=model.card.name, load=load, slo=slo, min_duration_s=seconds)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        plan_file, out = Path(scratch) / "plan.json", Path(scratch) / "out.json"
        plan_file.write_text(plan.model_dump_json())
        command = [sys.executable, "-m", "loadtests.generator.runner", "--plan", str(plan_file), "--url", url]
        command += ["--samples", str(model.path.resolve()), "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 120)
        if not out.exists():
            raise InvalidMeasurement(f"the load generator ended with code {done.returncode}: {done.stderr[-2000:]}")
        result = DrillResult.model_validate_json(out.read_bytes())
    return OpenCell(
        contender=contender,
        rate_rps=rate_rps,
        p50_ms=result.p50_ms,
        p99_ms=result.p99_ms,
        requests=result.requests,
        errors=result.error_counts,
        valid=result.verdict is not Verdict.INVALID,
    )
