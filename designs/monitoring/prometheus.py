"""A Prometheus of one's own, on loopback: configuration, start and end.

The program is Debian's package `prometheus`;
https://prometheus.io/docs/prometheus/2.42/configuration/configuration/ has the fields of its file.
"""

import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from designs.monitoring import operations
from designs.monitoring.promql import duration
from designs.monitoring.rules import as_yaml
from drillyard.core import ports, programs
from drillyard.core.budget import PERIOD_S
from drillyard.core.errors import DrillyardError, UsageError

HOST = "127.0.0.1"
PROGRAM = "prometheus"
DRILL_JOB, TRAINING_JOB = "drillyard-drill", "drillyard-training"
_RETENTION = duration(PERIOD_S + 86_400)  # of what budgets are given for, and a day to look back from
_EVERY = "5s"  # a drill of half a minute should show; a scrape costs the server some milliseconds
_WITH_US = ("setpriv", "--pdeathsig", "TERM", "--")  # of util-linux: it then ends also when this process is killed
_START_S, _END_S, _LOG_LINES = 30.0, 20.0, 10


class PrometheusFailedError(DrillyardError):
    """It did not start, or ended by itself."""


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What is scraped."""

    server_url: str
    drill_port: int  # of 127.0.0.1, where `drill run --metrics-port` answers while it runs
    training_port: int  # the same of `train --metrics-port`
    api_key_file: Path | None = None  # holds the key that the server asks for


def configuration(targets: Targets, rules: Path) -> dict[str, Any]:
    """The content of prometheus.yml."""
    server = urlsplit(targets.server_url)
    asked: dict[str, Any] = {"scheme": server.scheme, "metrics_path": f"{server.path.rstrip('/')}/metrics"}
    if targets.api_key_file is not None:
        asked["authorization"] = {"credentials_file": str(targets.api_key_file)}
    return {
        "global": {"scrape_interval": _EVERY, "evaluation_interval": _EVERY},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": operations.JOB, **asked, "static_configs": [{"targets": [server.netloc]}]},
            *(
                {"job_name": job, "scrape_interval": "1s", "static_configs": [{"targets": [f"{HOST}:{port}"]}]}
                for job, port in ((DRILL_JOB, targets.drill_port), (TRAINING_JOB, targets.training_port))
            ),
        ],
    }


@contextmanager
def running(folder: Path, *, targets: Targets, rules: str, port: int) -> "Iterator[subprocess.Popen[bytes]]":
    """Prometheus that answers at http://127.0.0.1:PORT, its data in `folder`; ended on leaving.

    Raises ProgramMissing, UsageError (the port is taken) and PrometheusFailedError.
    """
    program = programs.find(PROGRAM, "prometheus")
    if reason := ports.refusal(HOST, port):
        raise UsageError("--port", port, f"a free port of {HOST} ({reason})")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.yml").write_text(rules)
    config, log = folder / "prometheus.yml", folder / "prometheus.log"
    config.write_text(as_yaml(configuration(targets, folder / "rules.yml")))
    command = [
        *(_WITH_US if shutil.which(_WITH_US[0]) else ()),
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
    ]
    command += [f"--storage.tsdb.retention.time={_RETENTION}", f"--web.listen-address={HOST}:{port}"]
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder)
    try:
        _wait_until_ready(child, port, log)
        yield child
    finally:
        _end(child)


def watch(child: "subprocess.Popen[bytes]", folder: Path) -> None:
    """Until it is interrupted. Raises PrometheusFailedError when Prometheus ends by itself."""
    code = child.wait()
    raise PrometheusFailedError(f"prometheus ended with {code}; {_tail(folder / 'prometheus.log')}")


def _wait_until_ready(child: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise PrometheusFailedError(f"prometheus ended with {child.returncode}; {_tail(log)}")
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/-/ready", timeout=1):
                return
        except OSError:  # it does not listen yet, or says that it is not ready
            time.sleep(0.1)
    raise PrometheusFailedError(f"prometheus was not ready after {_START_S:.0f} s; {_tail(log)}")


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is None:
        child.terminate()
    try:
        child.wait(_END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
    return "\n".join([f"{log} ends with", *lines])
