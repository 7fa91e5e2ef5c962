"""The main job on real data, from raw files to scored drills; and what Ctrl-C leaves (nothing)."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drillyard.core.ports import free_port

pytestmark = pytest.mark.integration

DEMO = [sys.executable, "-c", "from drillyard.cli import main; main()", "demo"]
MARK = "DRILLYARD_HOME"


def environment(home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "OMP_", "OPENBLAS_NUM"))}
    return {**kept, MARK: str(home)}


def left_behind(home: Path) -> list[str]:
    """Processes whose environment names this test's home."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                if f"{MARK}={home}".encode() in (path / "environ").read_bytes().split(b"\0"):
                    found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:120])
            except OSError:
                continue
    return found


def wait_until_gone(home: Path, timeout_s: float = 20.0) -> list[str]:
    deadline = time.monotonic() + timeout_s
    while (found := left_behind(home)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    home = tmp_path_factory.mktemp("demo") / "home"
    words = [*DEMO, "--port", str(free_port())]
    done = subprocess.run(words, env=environment(home), capture_output=True, text=True, timeout=900, check=False)
    return home, done


def test_demo_writes_what_it_measured(demo) -> None:
    home, done = demo
    report = home / "reports" / "demo.json"
    assert report.is_file(), done.stderr[-3000:]
    content = json.loads(report.read_text())
    vision, fraud = content["systems"]["vision"], content["systems"]["fraud"]
    assert (vision["dataset"], fraud["dataset"]) == ("fashion-mnist", "ulb-creditcard")
    assert vision["metrics"]["accuracy"][0] >= 0.92
    assert fraud["metrics"]["average_precision"][0] >= 0.60
    for system in (vision, fraud):
        value, low, high = next(iter(system["metrics"].values()))
        assert low <= value <= high
        assert system["baselines"]
        assert system["drill"]["offered_rps"] > 0
        assert system["drill"]["errors"] == 0
    verdicts = {system["drill"]["verdict"] for system in (vision, fraud)}
    assert done.returncode == (3 if "INVALID" in verdicts else 1 if "FAIL" in verdicts else 0)


def test_demo_shows_progress_scorecard_report_and_next_commands(demo) -> None:
    home, done = demo
    for words in ("epoch 1/", "rows/s", "loss", "ETA", "exporting to ONNX", "serving at http://127.0.0.1:"):
        assert words in done.stderr, words
    page = home / "reports" / "demo.html"
    assert str(page) in done.stdout
    assert "drillyard drill run fraud --rate 1000" in done.stdout
    content = page.read_text()
    assert content.count("data:image/png") >= 3  # plots of both models
    assert "http://" not in content.replace("http://www.w3.org", "")  # nothing is loaded from elsewhere


def test_demo_leaves_no_process(demo) -> None:
    home, _ = demo
    assert wait_until_gone(home) == []


def test_a_second_run_reuses_the_champions(demo) -> None:
    home, _ = demo
    words = [*DEMO, "--port", str(free_port()), "--quiet"]
    done = subprocess.run(words, env=environment(home), capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode in (0, 1, 3), done.stderr
    assert done.stderr == ""  # quiet is quiet
    content = json.loads((home / "reports" / "demo.json").read_text())
    assert sorted(content["reused"]) == ["fraud", "vision"]
    assert wait_until_gone(home) == []


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_training_leaves_nothing(tmp_path: Path, sign: signal.Signals) -> None:
    home = tmp_path / "home"
    # Inherited: a shell that started the tests in the background has them ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    words = [*DEMO[:-1], "train", "fraud", "--recipe", "smoke"]
    child = subprocess.Popen(words, env=environment(home), stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    for line in child.stderr:
        if "training fraud/smoke" in line:
            break
    time.sleep(4)  # workers are starting
    child.send_signal(sign)
    child.stderr.read()
    child.stderr.close()
    assert child.wait(timeout=60) in (130, 143)
    assert wait_until_gone(home) == []
