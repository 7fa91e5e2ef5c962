"""PostgreSQL with its data in a folder, on loopback; clients prove who they are with a password from a file."""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from drillyard.core import ports, programs, secret
from drillyard.core.errors import ServiceUnreachable, UsageError
from drillyard.stack.server import Server, as_user, running

PACKAGE = "postgresql"
_HOST, _ROLE, _DATABASE = "127.0.0.1", "drillyard", "mlflow"
_VERSIONS = Path("/usr/lib/postgresql")
_SYSTEM_USER = "postgres"  # Debian's; PostgreSQL refuses to run as root


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A server with one database, made for MLflow."""

    process: "subprocess.Popen[bytes]"
    port: int
    passfile: Path  # libpq's: the password, for its owner's eyes only

    @property
    def uri(self) -> str:
        """The database's address for libpq and SQLAlchemy, without a secret in it."""
        return f"postgresql://{_ROLE}@{_HOST}:{self.port}/{_DATABASE}?passfile={quote(str(self.passfile))}"


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """Start it on a free port, with a new database where there is none yet.

    Raises ProgramMissing, ServiceUnreachable, and UsageError when the folder cannot be reached by the user that
    PostgreSQL runs as, which is `postgres` for root.
    """
    user = _SYSTEM_USER if os.geteuid() == 0 else None
    data, passfile = folder / "data", folder.parent / "pgpass"
    folder.mkdir(parents=True, exist_ok=True)
    if user is not None:
        _give(folder, user)
    if not data.exists():
        _make(data, passfile, user)
    port = ports.free_port()
    address = ["--host", _HOST, "--port", str(port), "--username", _ROLE]
    server = Server(
        name="PostgreSQL",
        command=(
            *(_program("postgres"), "-D", str(data), "-p", str(port)),
            *("-c", f"listen_addresses={_HOST}", "-c", "unix_socket_directories="),
        ),
        folder=folder,
        ready=lambda: _call("pg_isready", *address, passfile=passfile).returncode == 0,
        user=user,
        stop=signal.SIGINT,  # PostgreSQL's fast shutdown: it waits for no client
    )
    with running(server) as process:
        query = f"SELECT 1 FROM pg_database WHERE datname = '{_DATABASE}'"
        if not _must("psql", *address, "--dbname", "postgres", "-XAtc", query, passfile=passfile):
            _must("createdb", *address, _DATABASE, passfile=passfile)
        yield Postgres(process=process, port=port, passfile=passfile)


def _give(folder: Path, user: str) -> None:
    try:
        shutil.chown(folder, user, user)
    except LookupError:
        raise programs.ProgramMissing("postgres", PACKAGE) from None
    if subprocess.run([*as_user(user), "test", "-x", str(folder)], check=False).returncode:
        valid = f"a folder that user {user} may enter, whom PostgreSQL runs as (it refuses to run as root)"
        raise UsageError("DRILLYARD_HOME", str(folder), valid)


def _make(data: Path, passfile: Path, user: str | None) -> None:
    """A new cluster of databases, complete or not there at all."""
    password = secrets.token_urlsafe(32)
    secret.write(passfile, f"{_HOST}:*:*:{_ROLE}:{password}\n")
    first = secret.write(data.with_name("first-password"), password, owner=user)
    fresh = data.with_name("data.new")
    shutil.rmtree(fresh, ignore_errors=True)
    command = [_program("initdb"), "-D", str(fresh), "--username", _ROLE, "--pwfile", str(first)]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]
    done = subprocess.run([*as_user(user), *command], cwd="/", capture_output=True, text=True, check=False)
    first.unlink()
    if done.returncode:
        raise ServiceUnreachable("PostgreSQL", str(data), f"initdb said: {done.stderr.strip()}")
    fresh.rename(data)


def _must(program: str, *arguments: str, passfile: Path) -> str:
    done = _call(program, *arguments, passfile=passfile)
    if done.returncode:
        raise ServiceUnreachable("PostgreSQL", str(passfile.parent), f"{program} said: {done.stderr.strip()}")
    return done.stdout


def _call(program: str, *arguments: str, passfile: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PGPASSFILE": str(passfile)}
    command = [_program(program), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def _program(name: str) -> str:
    """Of the newest version that is installed: Debian keeps them in a folder for each, most of them not on PATH."""
    newest_first = sorted(_VERSIONS.glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return programs.find(name, PACKAGE, newest_first)
