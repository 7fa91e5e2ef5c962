"""The comparison from end to end with this project's server alone: wrk, the open loop, binary tensors, the report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from drillyard.core.settings import Settings
from serving import lifecycle
from tests.support import needs, tiny_models

pytestmark = pytest.mark.integration


def test_a_short_comparison_measures_judges_and_leaves_nothing(tmp_path: Path) -> None:
    needs.program("wrk", "wrk")
    environment = {**os.environ, "DRILLYARD_HOME": str(tmp_path)}
    settings = Settings.from_env(environment)
    tiny_models.register_both(settings.tracking_uri, tmp_path / "source")
    options = [
        "--parts",
        "rows",
        "--servers",
        "drillyard-2",
        "--connections",
        "1,16",
        "--rounds",
        "1",
        "--seconds",
        "1",
    ]
    command = [sys.executable, "-m", "serving.bench", *options, "--rates", "50"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "reports" / "bench-serve.json").read_text())
    assert content["refused"] == {}
    cells = {(cell["workload"], cell["connections"]): cell for cell in content["cells"]}
    assert set(cells) == {("one row", 1), ("one row", 16), ("64 rows, binary", 16)}
    for cell in cells.values():
        assert cell["errors"] == {}
        assert cell["requests"] > 10
        # Replicas and HAProxy together: at least some tens of microseconds, and no more than the machine has.
        assert 20 < cell["cpu_us_per_request"] < 1.1e6 * (os.cpu_count() or 1) / cell["requests_per_s"]
        rows = 64 if "64" in cell["workload"] else 1
        assert cell["rows_per_s"] == pytest.approx(rows * cell["requests_per_s"])
    (opened,) = content["open_loop"]
    assert opened["errors"] == {}
    assert opened["requests"] == pytest.approx(50, abs=30)
    (judged,) = [bar for bar in content["bars"] if bar["bar"]["under"]["contender"] == "drillyard-2"]
    one, many = cells[("one row", 16)], cells[("64 rows, binary", 16)]
    assert judged["rows_per_s"]["median"] == pytest.approx(many["rows_per_s"] / one["rows_per_s"])
    assert judged["passed"] == (judged["rows_per_s"]["median"] >= 10)
    assert "64 rows, binary" in done.stdout
    assert lifecycle.status(settings.model_copy(update={"home": tmp_path / "bench"})) is None
