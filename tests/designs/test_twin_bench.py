"""The benchmark's course, on a server that is an M/M/1 queue by its closed form."""

import json
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from designs.twin import bench, plot
from designs.twin.closed_forms import mm1_latency_s
from designs.twin.node import exponential
from designs.twin.observe import Observation
from designs.twin.types import Calibration
from drillyard.core.load import ClosedLoad, Load
from drillyard.core.slo import Slo

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
import drilled
import recorded

LOOP_US, CURVE = 1000.0, [(100 * (i + 0.5) / 4096, float(x)) for i, x in enumerate(exponential())]


class MM1Observer:
    """Answers for a server without being asked twice about one."""

    version, slo = "queue/1", Slo(p50_ms=50, p99_ms=30, max_error_rate=0.001)
    target = SimpleNamespace(model="queue", replicas=lambda: [1])

    def observe(self, load: Load | ClosedLoad) -> Observation:
        rate = load.rate_rps if isinstance(load, Load) else 500.0
        served = min(rate, 950.0)
        return Observation(
            load=load,
            requests=round(rate * load.duration_s),
            answered_rps=served,
            p50_ms=1000 * mm1_latency_s(served, LOOP_US / 1e6, 50),
            p99_ms=1000 * mm1_latency_s(served, LOOP_US / 1e6, 99),
            shed_share=1 - served / rate,
            busy_cores=0.1 + served * 1.2e-3,
            proxy_us=1,
            proxy_wait_us=0,
            loop_us=LOOP_US,
            loop_wait_us=0,
            generator_us=100,
            call_us=20,
            call_rows=1,
            curve=CURVE,
        )


def test_a_queue_with_a_closed_form_is_calibrated_predicted_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steady held-back loads within the bars; the highest sustainable rate is 1000 - ln(100)/30 ms = 846 a second."""
    monkeypatch.setattr(bench, "idle_cores", lambda _: 0.1)
    module = import_module("designs.twin.predict")  # the package calls the function so
    monkeypatch.setattr(module, "REQUESTS", 40_000)  # a queue without pauses, whose chance takes many
    observer: Any = MM1Observer()
    found = bench.measured(observer, 1, 100.0)
    calibration = Calibration.model_validate(found["calibration"])
    assert [point.rate_rps for point in calibration.rounds[0].points] == pytest.approx([57, 285, 475, 665, 807.5])
    steady = [row for row in found["rows"] if row["load"]["shape"]["kind"] == "poisson"]
    assert len(steady) == 3
    for row in steady:
        assert abs(row["p50_ms"]["error"]) < bench.BARS["latency"]
        assert abs(row["p99_ms"]["error"]) < bench.BARS["latency"]
    assert found["sustainable"]["kept"]
    assert found["sustainable"]["measured"]["value"] == pytest.approx(846, rel=0.06)
    assert abs(found["sustainable"]["error"]) < bench.BARS["sustainable"]
    content = {"bars": bench.BARS, "systems": {"queue": found}, "commit": "none", "machine": "none", "elapsed_s": 60}
    (tmp_path / "bench-twin.json").write_text(json.dumps(content))
    plot.draw(content, tmp_path / "bench-twin.svg")
    assert "queue" in (tmp_path / "bench-twin.svg").read_text()
    monkeypatch.setattr(recorded, "RESULTS", tmp_path)
    assert drilled.twin().count("| queue |") == 5
