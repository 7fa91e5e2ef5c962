"""What benchmarks keep of their rounds."""

import json
from pathlib import Path

import pytest

from drillyard.core.benchmark import keep, ratio, spread
from drillyard.core.settings import Settings


def test_a_ratio_is_taken_within_rounds() -> None:
    # The machine was half as fast in the second round, for both.
    assert ratio([20.0, 10.0, 30.0], [10.0, 5.0, 10.0]) == {"median": 2.0, "low": 2.0, "high": 3.0, "n": 3}


def test_rounds_that_one_side_lacks_are_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])


def test_figures_lie_among_the_reports(tmp_path: Path) -> None:
    settings = Settings.from_env({"DRILLYARD_HOME": str(tmp_path / "home")})
    path = keep(settings, "bench-x", {"ratios": spread([1.0])})
    assert path == settings.reports / "bench-x.json"
    assert json.loads(path.read_text()) == {"ratios": {"median": 1.0, "low": 1.0, "high": 1.0, "n": 1}}
