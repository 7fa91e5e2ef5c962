"""`drillyard observe`: what it writes, and what it says when it cannot."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import yaml

import designs
from designs.monitoring import prometheus
from designs.monitoring.rules import groups, rule_file
from drillyard.core import processes
from drillyard.core.ports import free_port
from tests.drillyard.test_cli import DRILLYARD, run
from tests.support import needs, sockets


def test_rules_are_written_where_they_are_wanted(tmp_path: Path) -> None:
    done = run("observe", "rules", "--json", str(tmp_path / "out.json"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = tmp_path / "home" / "prometheus" / "rules.yml"
    assert written.read_text() == rule_file(groups(map(designs.get, designs.names())))
    assert json.loads((tmp_path / "out.json").read_text()) == yaml.safe_load(written.read_text())
    done = run("observe", "rules", "vision", "--out", "some.yml", cwd=tmp_path)
    names = [group["name"] for group in yaml.safe_load((tmp_path / "some.yml").read_text())["groups"]]
    assert names == ["drillyard-slo-vision-days", "drillyard-slo-vision", "drillyard-operations"]
    assert "some.yml" in done.stdout


def test_dashboards_are_written_where_they_are_wanted(tmp_path: Path) -> None:
    done = run("observe", "dashboards", "--out", "grafana", "--prometheus", "http://there:9090", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    files = [Path(line) for line in done.stdout.splitlines()]
    assert len(files) == 6
    assert all((tmp_path / file).is_file() for file in files)
    assert "http://there:9090" in (tmp_path / "grafana/provisioning/datasources/drillyard.yaml").read_text()


def test_without_the_program_its_package_is_named(tmp_path: Path) -> None:
    done = run("observe", "up", cwd=tmp_path, PATH=str(tmp_path))
    assert done.returncode == 4
    assert "error: prometheus is not on PATH; install it: apt-get install prometheus" in done.stderr


def test_a_taken_port_is_named_before_anything_is_started(tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "prometheus"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\ntouch started\n")
    fake.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = f"{fake.parent}:{os.environ['PATH']}"
        done = run("observe", "up", "--port", str(port), cwd=tmp_path, PATH=path)
    assert done.returncode == 2
    assert f"error: --port={port} is not valid; expected a free port of 127.0.0.1" in done.stderr
    assert list(tmp_path.rglob("started")) == []


def test_one_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "prometheus"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho no room for data >&2\nexit 3\n")
    fake.chmod(0o755)
    done = run("observe", "up", "--port", str(free_port()), cwd=tmp_path, PATH=f"{fake.parent}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert "error: prometheus ended with 3" in done.stderr
    assert "no room for data" in done.stderr


def test_the_configuration_asks_for_the_key_and_holds_none(tmp_path: Path) -> None:
    targets = prometheus.Targets(
        server_url="https://there:8443/behind", drill_port=1, training_port=2, api_key_file=tmp_path / "key"
    )
    found = prometheus.configuration(targets, tmp_path / "rules.yml")
    server, drill, training = found["scrape_configs"]
    assert (server["scheme"], server["metrics_path"]) == ("https", "/behind/metrics")
    assert server["static_configs"] == [{"targets": ["there:8443"]}]
    assert server["authorization"] == {"credentials_file": str(tmp_path / "key")}
    assert [job["job_name"] for job in (server, drill, training)] == [
        "drillyard",
        "drillyard-drill",
        "drillyard-training",
    ]
    assert found["rule_files"] == [str(tmp_path / "rules.yml")]


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_prometheus_ends_however_the_command_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    """And a key that was shown to it lies nowhere when the command could still take it away."""
    needs.program(prometheus.PROGRAM, "prometheus")
    port = free_port()
    out = tmp_path / "out.json"
    environment = {**os.environ, "DRILLYARD_HOME": str(tmp_path / "home"), "DRILLYARD_API_KEY": "secret"}
    command = subprocess.Popen(
        [*DRILLYARD, "observe", "up", "--port", str(port), "--json", str(out)],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not (out.exists() and out.read_text()):
        assert command.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    pid = json.loads(out.read_text())["pid"]
    started = processes.start_time(pid)
    assert started is not None
    assert [(each.port, each.loopback) for each in sockets.listening([pid])] == [(port, True)]
    key = tmp_path / "home" / "prometheus" / "api-key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert "secret" not in (tmp_path / "home" / "prometheus" / "prometheus.yml").read_text()
    command.send_signal(number)
    assert command.wait(30) in (143, -signal.SIGKILL)
    while processes.is_running(pid, started):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert key.exists() == (number == signal.SIGKILL)
