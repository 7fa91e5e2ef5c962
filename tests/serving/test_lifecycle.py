"""What surrounds a server, without starting one: configuration, HAProxy's wrapper, process marks, state."""

import os
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from drillyard.core import processes
from drillyard.core.contract import ModelRef
from drillyard.core.errors import UsageError
from drillyard.core.ports import free_port
from drillyard.core.settings import Settings
from serving import lifecycle, state
from serving.environment import server_environment
from serving.recipes import Autoscaling, ServeConfig, elastic, laptop
from serving.state import ServerState
from tests.support import haproxy_config


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_env({"DRILLYARD_HOME": str(tmp_path / "home")})


def make_state(run_dir: Path, pid: int, pid_started: int) -> ServerState:
    return ServerState(
        stage="ready",
        progress="ready",
        pid=pid,
        pid_started=pid_started,
        run_dir=run_dir,
        host="127.0.0.1",
        port=1,
        url="http://127.0.0.1:1",
        grpc_address=None,
        models={"fraud": 1},
        started_at=state.now(),
        log=None,
    )


def sleeper(run_dir: Path) -> "subprocess.Popen[bytes]":
    """A process with that server's mark, which ignores polite requests to end."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, processes.MARK: str(run_dir)}
    )
    assert child.stdout is not None
    child.stdout.readline()
    return child


def test_recipe_and_limits() -> None:
    config = laptop("fraud", "vision", port=9000)
    assert [str(ref) for ref in config.models] == ["fraud@champion", "vision@champion"]
    assert (config.host, config.url, config.threads) == ("127.0.0.1", "http://127.0.0.1:9000", 1)
    for wrong in ({"models": ()}, {"models": (ModelRef.parse("a"), ModelRef.parse("a/2"))}, {"port": 0}):
        with pytest.raises(UsageError):
            ServeConfig(**({"models": (ModelRef.parse("a"),)} | wrong))


def test_autoscaling_that_contradicts_itself_is_refused() -> None:
    config = elastic("fraud", max_replicas=3)
    assert (config.replicas, config.most_replicas, laptop("fraud").most_replicas) == (1, 3, 1)
    with pytest.raises(UsageError, match="at least replicas, 4"):
        replace(config, replicas=4)
    with pytest.raises(UsageError, match="at most max_ongoing_requests"):
        replace(config, autoscaling=Autoscaling(target_ongoing_requests=1000.0))
    for wrong in ({"max_replicas": 0}, {"target_ongoing_requests": 0.0}, {"upscale_delay_s": -1.0}):
        with pytest.raises(UsageError):
            Autoscaling(**wrong)  # type: ignore[arg-type]


def test_the_wrapper_corrects_what_the_installed_ray_writes(tmp_path: Path) -> None:
    """Each edit must still find its line in the template of the Ray that is installed."""
    from ray.serve._private.haproxy import BackendConfig, HAProxyConfig

    config_file = tmp_path / "haproxy.cfg"
    config = HAProxyConfig(error_file_path="/wrong/500.http", metrics_enabled=True)
    backend = BackendConfig(name="m", path_prefix="/m", app_name="m")
    config_file.write_text(haproxy_config.rendered(config, [backend]))
    environment = server_environment(laptop("fraud"), tmp_path, {}, "/bin/true")
    for _ in range(2):  # HAProxy is started again on the same file
        subprocess.run([environment["RAY_SERVE_HAPROXY_BINARY_PATH"], "-db", "-f", str(config_file)], check=True)
    corrected = config_file.read_text()
    binds = re.findall(r"^\s*bind (\S+)", corrected, re.MULTILINE)
    assert len(binds) == 3
    assert all(bind.startswith("127.0.0.1:") for bind in binds), binds
    assert not re.search(r"^ *(log \S+ local|log-format|http-request set-var)", corrected, re.MULTILINE)
    assert "timeout http-request 10s" in corrected
    assert len(re.findall(r"default-server .*check maxconn 64$", corrected, re.MULTILINE)) == 1
    assert "no strict-limits" in corrected
    assert re.search(r"backend default_backend\n +http-request return status 503 .*retry-after 1", corrected)
    assert "timeout queue 20ms" in corrected
    assert re.findall(r"^ *timeout connect (.*)$", corrected, re.MULTILINE) == ["250ms"]
    assert "option http-buffer-request" in corrected
    assert "set-header x-request-start %[date(0,ms)]" in corrected
    assert "set-header x-request-disconnect-disabled ?1" in corrected
    assert "set-header x-request-id %[uuid] unless { req.hdr(x-request-id) -m found }" in corrected
    assert len(re.findall(rf"errorfile 50[234] {tmp_path}/ha/503.http", corrected)) == 3
    page = (tmp_path / "ha" / "503.http").read_bytes()
    head, _, body = page.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head


def test_the_environment_keeps_what_the_user_set_and_hides_the_token(tmp_path: Path) -> None:
    environment = server_environment(
        laptop("fraud"), tmp_path, {"RAY_SERVE_HAPROXY_NBTHREAD": "2", "PYTHONPATH": "/mine"}, "/bin/true"
    )
    assert "RAY_SERVE_HAPROXY_NBTHREAD" not in environment
    assert environment["PYTHONPATH"].endswith(":/mine")
    assert environment["RAY_USAGE_STATS_ENABLED"] == "0"
    token = Path(environment["RAY_AUTH_TOKEN_PATH"])
    assert token.stat().st_mode & 0o077 == 0
    assert token.read_text() not in environment.values()


def test_a_marked_process_is_found_and_ended_and_no_other(tmp_path: Path) -> None:
    ours, theirs = sleeper(tmp_path / "a"), sleeper(tmp_path / "ab")
    try:
        assert processes.belonging_to(tmp_path / "a") == [ours.pid]
        assert processes.end(tmp_path / "a", grace_s=0.2) == 1
        assert ours.wait(5) == -9
        assert theirs.poll() is None
    finally:
        for child in (ours, theirs):
            child.kill()
            child.wait()


def test_a_recycled_process_id_is_not_the_recorded_process() -> None:
    started = processes.start_time(os.getpid())
    assert started is not None
    assert processes.is_running(os.getpid(), started)
    assert not processes.is_running(os.getpid(), started - 1)


def test_stop_ends_what_a_killed_server_left_and_signals_nobody_else(settings: Settings, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    orphan, innocent = sleeper(run_dir), sleeper(tmp_path / "other")
    try:
        # The supervisor's process id now belongs to somebody else.
        state.write(settings, make_state(run_dir, innocent.pid, pid_started=1))
        assert lifecycle.status(settings) is None
        assert lifecycle.stop(settings) is not None
        assert orphan.wait(5) == -9
        assert innocent.poll() is None
        assert not run_dir.exists()
        assert not settings.server_state.exists()
        assert lifecycle.stop(settings) is None
    finally:
        for child in (orphan, innocent):
            child.kill()
            child.wait()


def test_a_taken_port_and_a_running_server_are_named_before_anything_starts(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = laptop("fraud", port=taken.getsockname()[1])
        with pytest.raises(UsageError, match="choose with --host and --port"):
            lifecycle.start_detached(config, settings, on_progress=print)
    assert not settings.home.exists()
    own = processes.start_time(os.getpid())
    assert own is not None
    state.write(settings, make_state(settings.home / "run", os.getpid(), own))
    with pytest.raises(UsageError, match="serve down"):
        lifecycle.check_can_start(laptop("fraud"), settings)


def test_a_record_that_is_not_one_counts_as_none(settings: Settings) -> None:
    settings.home.mkdir()
    settings.server_state.write_text("{}")
    assert lifecycle.status(settings) is None


def test_a_log_that_cannot_be_written_leaves_no_folder_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logs").write_text("a file in the way")
    made: list[Path] = []
    monkeypatch.setattr(
        "serving.supervisor.tempfile.mkdtemp", lambda **_: made.append(tmp_path / "run") or str(made[0])
    )
    settings = Settings.from_env({"DRILLYARD_HOME": str(tmp_path)}, tmp_path)
    with pytest.raises(OSError, match="logs"):
        lifecycle.run_foreground(
            laptop("fraud", port=free_port(), grpc_port=0),
            settings,
            on_progress=lambda _: None,
            on_ready=lambda _: None,
        )
    assert made == []
