"""What is promised about telemetry, asked of the installed libraries."""

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from drillyard.core.settings import NO_TELEMETRY
from tests.support.tiny_models import fraud_graph

_OPEN = "import sys, onnxruntime; onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"


@pytest.mark.parametrize(("said", "kept"), [({}, True), (NO_TELEMETRY, False)])
def test_onnx_runtime_keeps_no_device_id_and_no_events(tmp_path: Path, said: dict[str, str], kept: bool) -> None:
    model, home = tmp_path / "model.onnx", tmp_path / "home"
    onnx.save(fraud_graph(), model)
    home.mkdir()
    # Nothing else of the environment: ONNX Runtime is silent by itself where CI is set. And where it may send to is
    # nowhere, also in the run that shows that this test can fail.
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "HTTPS_PROXY": "http://127.0.0.1:9", **said}
    subprocess.run([sys.executable, "-c", _OPEN, str(model)], env=environment, check=True, capture_output=True)
    assert bool(list(home.rglob("*"))) is kept
