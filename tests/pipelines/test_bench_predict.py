"""The benchmark of batch prediction: ratios are taken within rounds, and memory over all processes."""

import os
import sys

import pytest

from pipelines import bench_children, bench_predict


def test_ratios_are_of_one_round_each() -> None:
    rates = {"all_outputs": [10.0, 20.0, 9.0], "scores": [20.0] * 3, "onnxruntime": [20.0, 20.0, 10.0]}
    found = bench_predict.ratios({**rates, "one_process": [10.0] * 3})
    assert found["all_outputs_over_onnxruntime"] == {"median": 0.9, "low": 0.5, "high": 1.0, "n": 3, "bar": 0.8}
    assert found["scores_over_onnxruntime"]["high"] == 2.0
    assert found["all_outputs_over_one_process"]["bar"] is None


def test_memory_of_descendants_counts() -> None:
    hold = "import time; kept = bytearray(100 * 2**20); time.sleep(1.5)"
    both = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}]); print('over')"
    ran = bench_children.run([sys.executable, "-c", both], os.environ)
    assert ran.output == "over\n"
    assert ran.elapsed_s >= 1.5
    assert 100 * 2**20 < ran.peak_rss_bytes < 200 * 2**20


def test_a_command_that_fails_ends_the_benchmark_with_its_words() -> None:
    with pytest.raises(SystemExit, match="it broke"):
        bench_children.run([sys.executable, "-c", "import sys; sys.exit('it broke')"], os.environ)
