"""Locust's own command on the locustfile, without drillyard around it."""

import contextlib
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from drillyard.core.load import Load, Poisson, Ramp, Shape
from drillyard.core.ports import free_port
from loadtests.generator.arrivals import schedule

pytestmark = pytest.mark.integration
REPO = Path(__file__).parents[2]


def locust(*args: object) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-W",
        "error:::loadtests",
        "-m",
        "locust",
        "-f",
        "loadtests/locustfile.py",
        *map(str, args),
    ]
    locust = subprocess.Popen(
        command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        stdout, stderr = locust.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(locust.pid, signal.SIGKILL)  # workers too, should they be left
    return subprocess.CompletedProcess(command, locust.returncode, stdout, stderr)


def summary(output: str) -> tuple[int, int, float]:
    """Requests, errors and p50 of the line with the exact figures."""
    found = re.search(r"Drill, latency .*: (\d+) requests, (\d+) errors, p50 ([\d.]+) ms", output)
    assert found, output
    return int(found[1]), int(found[2]), float(found[3])


def scheduled(rate_rps: float, duration_s: float, shape: Shape | None = None) -> int:
    return len(schedule(Load(rate_rps=rate_rps, duration_s=duration_s, shape=shape or Poisson())))


def test_headless_runs_for_the_run_time_and_writes_locusts_files(delay_server, samples, tmp_path):
    url = delay_server("--delay-ms", 5)
    done = locust(
        "--headless", "-t", "3s", "--host", url, "--samples", samples, "--rate", 100, "--shape", "ramp",
        "--csv", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr  # 3 on a machine too busy to send in time
    requests, errors, p50_ms = summary(done.stderr)
    assert (requests, errors) == (scheduled(100, 3, Ramp()), 0)
    assert 4 <= p50_ms < 100
    rows = list(csv.DictReader((tmp_path / "out_stats.csv").open()))
    assert rows[0]["Name"] == "/v2/models/fraud/infer"
    assert int(rows[0]["Request Count"]) == requests


def test_failures_give_locusts_exit_code(delay_server, samples):
    url = delay_server("--fail-every", 5)
    done = locust("--headless", "--duration", 2, "--host", url, "--samples", samples, "--rate", 100)
    requests, errors, _ = summary(done.stderr)
    assert errors == pytest.approx(requests / 5, abs=1)
    assert done.returncode in (1, 3)


def test_workers_share_the_rate_and_their_histograms_are_merged(delay_server, samples):
    url = delay_server("--delay-ms", 5)
    port = free_port()
    done = locust(
        "--headless", "-t", "3s", "--host", url, "--samples", samples, "--rate", 200, "--processes", 2,
        "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port,
    )  # fmt: skip
    requests, errors, p50_ms = summary(done.stderr)
    assert (requests, errors) == (scheduled(200, 3), 0)
    assert 4 <= p50_ms < 100


def test_wrong_arguments_end_at_once_with_the_reason(samples):
    done = locust("--headless", "-t", "3s", "--samples", "/nowhere")
    assert done.returncode == 2
    assert "samples='/nowhere' is not valid" in done.stderr
    for option, value, message in (("--rate", -1, "rate_rps=-1.0 is not"), ("--shape", "hill", "shape='hill' is not")):
        done = locust("--headless", "-t", "3s", "--samples", samples, option, value)
        assert done.returncode == 2
        assert message in done.stderr


def test_the_page_offers_the_options_and_starts_a_drill(delay_server, samples):
    url, port = delay_server(), free_port()
    page = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        "loadtests/locustfile.py",
        "--host",
        url,
        "--samples",
        str(samples),
    ]
    server = subprocess.Popen(
        [*command, "--web-host", "127.0.0.1", "--web-port", str(port)], cwd=REPO, stderr=subprocess.DEVNULL
    )
    try:
        text = wait_for(lambda: fetch(page))
        for option in ("samples", "rate", "shape", "duration", "seed"):
            assert f'"{option}"' in text
        assert "over all workers" in text
        for rate in (50, 80):  # and once more: the end of the first is not that of the second
            fetch(f"{page}/swarm", f"user_count=1&spawn_rate=1&rate={rate}&duration=2&seed=4".encode())
            ended = ("stopped", len(schedule(Load(rate_rps=rate, duration_s=2, seed=4))))
            wait_for(lambda ended=ended: state_and_requests(page) == ended)  # Locust's page keeps its answer for 2 s
    finally:
        server.terminate()
        server.wait(timeout=10)


def state_and_requests(page):
    told = json.loads(fetch(f"{page}/stats/requests"))
    return told["state"], sum(row["num_requests"] for row in told["stats"] if row["name"] != "Aggregated")


def fetch(url, data=None):
    with urllib.request.urlopen(url, data=data, timeout=5) as answer:
        return answer.read().decode()


def wait_for(condition, timeout_s=20):
    """The first true value of `condition`, which may fail with OSError until then."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if value := condition():
                return value
        time.sleep(0.2)
    raise AssertionError(f"not within {timeout_s} s")
