"""Start, watch and end a server: `run_foreground`, `start_detached`, `status`, `stop`.

The supervisor is the process that starts Ray and deploys the models. Ray's processes end with it (the kernel tells
them), HAProxy ends with Ray's (see haproxy.py), and what may still be left is found by its mark and ended by process
id: by the supervisor when it ends, or by the next command after it was killed.

`python -m serving.lifecycle` is the supervisor of a detached server; it reads its call as JSON from standard input.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from drillyard.core import ports
from drillyard.core.contract import Frozen
from drillyard.core.errors import DrillyardError, ExitCode, UsageError
from drillyard.core.settings import Settings
from serving import keys, state, tls
from serving.recipes import ServeConfig
from serving.state import ServerState

LOG_TAIL_LINES = 20
Progress = Callable[[str], None]


class _Call(Frozen):
    """What a detached server's supervisor is started with."""

    config: ServeConfig
    settings: Settings
    log: Path


class ServerFailedError(DrillyardError):
    """The server did not become ready, or ended by itself."""

    def __init__(self, reason: str, exit_code: ExitCode = ExitCode.FAIL) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


def run_foreground(
    config: ServeConfig, settings: Settings, *, on_progress: Progress, on_ready: Callable[[ServerState], None]
) -> None:
    """Serve until SIGINT or SIGTERM; when it returns, no process, port or temporary file of the server is left.

    Raises UsageError (the port is taken), ModelNotFound, ArtifactRefused, ServiceUnreachable, ServerFailedError.
    """
    from serving.supervisor import supervise

    check_can_start(config, settings)
    supervise(config, settings, on_progress=on_progress, on_ready=on_ready, log=None)


def start_detached(config: ServeConfig, settings: Settings, *, on_progress: Progress) -> ServerState:
    """Start a server that outlives this command, and wait until it is ready.

    Raises UsageError before anything is started when the port is taken or a server of this home runs already, and
    ServerFailedError with the end of the log (and the exit code of its cause) when it does not become ready.
    """
    check_can_start(config, settings)
    log = settings.home / "logs" / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    call = _Call(config=config, settings=settings, log=log)
    environment = {**os.environ, "PYTHONPATH": _python_path()}
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "serving.lifecycle"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # this terminal's Ctrl-C and hang-up are not for it
            env=environment,
        )
    assert child.stdin is not None
    child.stdin.write(call.model_dump_json().encode())
    child.stdin.close()
    try:
        return _wait_until_ready(child, config, settings, log, on_progress)
    except BaseException:  # Ctrl-C while waiting means: do not start it
        if child.poll() is None:
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.wait(config.drain_s + 15)
        if (left := state.read(settings)) is not None and left.pid == child.pid:
            state.clear(settings, left)
        raise


def status(settings: Settings) -> ServerState | None:
    """The server of this home, if its supervisor runs."""
    recorded = state.read(settings)
    return recorded if recorded is not None and recorded.supervisor_runs else None


def stop(settings: Settings, *, timeout_s: float = 30.0) -> ServerState | None:
    """End the server of this home and whatever a killed one left; the state it had, or None when there was none."""
    recorded = state.read(settings)
    if recorded is None:
        return None
    if recorded.supervisor_runs:
        with suppress(ProcessLookupError):
            os.kill(recorded.pid, signal.SIGTERM)
        deadline = time.monotonic() + timeout_s
        while recorded.supervisor_runs and time.monotonic() < deadline:
            time.sleep(0.05)
        if recorded.supervisor_runs:
            with suppress(ProcessLookupError):
                os.kill(recorded.pid, signal.SIGKILL)
    state.clear(settings, recorded)
    return recorded


def check_can_start(config: ServeConfig, settings: Settings) -> None:
    """End a killed server's leavings.

    Raises UsageError: a server of this home runs, the port is taken, an API key is missing, the certificate is no good,
    the home cannot be written in.
    """
    keys.check(config)
    if config.tls_cert is not None and config.tls_key is not None:
        if settings.ray_address is not None:
            raise UsageError("--tls-cert", str(config.tls_cert), "none on a Ray cluster, whose HAProxy is not ours")
        tls.check(config.tls_cert, config.tls_key)
    recorded = state.read(settings)
    if recorded is not None:
        if recorded.supervisor_runs:
            where = f"{recorded.url} (process {recorded.pid})"
            raise UsageError("serve", where, "no server of this home running; end it with `drillyard serve down`")
        state.clear(settings, recorded)
    _check_port("port", config.host, config.port)
    if config.grpc_port:
        _check_port("grpc-port", config.host, config.grpc_port)
    settings.make_home()  # last: what is refused leaves nothing


def _check_port(option: str, host: str, port: int) -> None:
    if reason := ports.refusal(host, port):
        expected = f"an address and port this process may listen on ({reason})"
        raise UsageError(f"host:{option}", f"{host}:{port}", f"{expected}; choose with --host and --{option}")


def _wait_until_ready(
    child: "subprocess.Popen[bytes]", config: ServeConfig, settings: Settings, log: Path, on_progress: Progress
) -> ServerState:
    shown = ""
    deadline = time.monotonic() + config.start_timeout_s + 10  # the supervisor gives up first, and says why
    while time.monotonic() < deadline:
        code = child.poll()
        if code is not None:
            known = ExitCode(code) if code in set(ExitCode) else ExitCode.FAIL
            raise ServerFailedError(f"the server ended while starting; {log} ends with\n{_tail(log)}", known)
        current = state.read(settings)
        if current is not None and current.pid == child.pid:
            if current.progress != shown:
                shown = current.progress
                on_progress(shown)
            if current.stage == "ready":
                return current
        time.sleep(0.05)
    raise ServerFailedError(
        f"the server was not ready after {config.start_timeout_s:.0f} s; {log} ends with\n{_tail(log)}"
    )


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])


def _python_path() -> str:
    """So that the child finds this package also when it is a checkout that is not installed."""
    return ":".join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))


def _main() -> int:
    from serving.supervisor import supervise

    call = _Call.model_validate_json(sys.stdin.read())
    say: Progress = lambda text: print(text, flush=True)  # noqa: E731, T201 (the log file is its standard output)
    try:
        supervise(call.config, call.settings, on_progress=say, on_ready=lambda _: say("ready"), log=call.log)
    except DrillyardError as error:
        say(str(error))
        return int(error.exit_code)
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(_main())
