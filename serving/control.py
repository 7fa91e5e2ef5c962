"""Commands to a running server: one JSON line each way over a unix socket that only its owner can open."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drillyard.core.errors import DrillyardError, ExitCode, ServiceUnreachable

SOCKET = "control.sock"  # in the server's private run folder
MAX_LINE_BYTES = 64 * 1024
CLIENT_TIMEOUT_S = 5.0  # a client that has connected must say what it wants within this

Json = dict[str, Any]


class CommandError(DrillyardError):
    """The server could not do what it was asked to; the exit code is that of the cause."""

    def __init__(self, reason: str, exit_code: ExitCode) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


class Control:
    """Answers commands, one after another, on a thread of its own."""

    def __init__(self, run_dir: Path, answer: Callable[[Json], Json]) -> None:
        """`answer` takes a command and returns its result, or raises DrillyardError."""
        self._answer = answer
        self._socket = socket.socket(socket.AF_UNIX)
        path = run_dir / SOCKET
        self._socket.bind(str(path))
        path.chmod(0o600)
        self._socket.listen()
        threading.Thread(target=self._serve, name="control", daemon=True).start()

    def close(self) -> None:
        """Take no more commands."""
        with contextlib.suppress(OSError):  # wakes the thread that waits in accept
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:  # closed
                return
            with client, contextlib.suppress(OSError):  # a client that went away gets no answer
                client.settimeout(CLIENT_TIMEOUT_S)
                client.sendall(json.dumps(self._reply(_read_line(client))).encode() + b"\n")

    def _reply(self, line: bytes) -> Json:
        try:
            command = json.loads(line)
            if not isinstance(command, dict):
                raise ValueError(f"it is a {type(command).__name__}")
        except ValueError as error:
            return {"error": f"the command is not valid: {error}; expected a JSON object", "exit_code": ExitCode.USAGE}
        try:
            return {"result": self._answer(command)}
        except DrillyardError as error:
            return {"error": str(error), "exit_code": error.exit_code}
        except Exception as error:  # the last line: the next command must find this thread alive
            return {"error": f"the server failed: {error!r}", "exit_code": ExitCode.FAIL}


def call(run_dir: Path, command: Json, *, timeout_s: float) -> Json:
    """Let the server with that run folder carry out a command. Raises CommandError and ServiceUnreachable."""
    path = run_dir / SOCKET
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps(command).encode() + b"\n")
            line = _read_line(connection)
        except OSError as error:
            remedy = f"it said: {error}; is the server starting or ending? See `drillyard serve status`"
            raise ServiceUnreachable("the server", str(path), remedy) from None
    if not line:
        raise ServiceUnreachable("the server", str(path), "it ended meanwhile; see `drillyard serve status`")
    reply = json.loads(line)
    if "error" in reply:
        raise CommandError(reply["error"], ExitCode(reply["exit_code"]))
    return dict(reply["result"])


def _read_line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
        piece = connection.recv(MAX_LINE_BYTES)
        if not piece:
            break
        line += piece
    return line
