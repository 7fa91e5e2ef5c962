"""Redis for Ray's control state: on loopback, its data in a folder, open to holders of a certificate's key only.

A password would do for Redis, but Ray hands one to its GCS server as an argument, which every user of the machine sees.
"""

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from drillyard.core import ports, programs
from drillyard.stack import certificates
from drillyard.stack.server import Server, running

PACKAGE = "redis-server"
HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Redis:
    """A server, and by what a client is let in."""

    process: "subprocess.Popen[bytes]"
    address: str
    certificate: Path
    key: Path

    @property
    def ray_environment(self) -> dict[str, str]:
        """What makes `ray start --head` keep the cluster's state here, and find it here when it starts again."""
        return {
            "RAY_REDIS_ADDRESS": self.address,
            "RAY_REDIS_CA_CERT": str(self.certificate),
            "RAY_REDIS_CLIENT_CERT": str(self.certificate),
            "RAY_REDIS_CLIENT_KEY": str(self.key),
        }


@contextmanager
def redis(folder: Path, host: str = HOST) -> Iterator[Redis]:
    """Start it on a free port, with what it held before. Raises ProgramMissing, ServiceUnreachable."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = certificates.make(folder)
    port = ports.free_port()
    settings = {
        "bind": host,
        "port": 0,  # without TLS
        "tls-port": port,
        "tls-cert-file": certificate,
        "tls-key-file": key,
        "tls-ca-cert-file": certificate,
        "tls-auth-clients": "yes",
        "protected-mode": "no",  # it knows passwords only, and would refuse every other machine
        "dir": folder,
        "appendonly": "yes",  # a crash loses at most the last second
        "maxmemory-policy": "noeviction",  # what Ray wrote is never given up for room
    }
    config = folder / "redis.conf"
    config.write_text("".join(f'{name} "{value}"\n' for name, value in settings.items()))
    server = Server(
        name="Redis",
        command=(programs.find("redis-server", PACKAGE), str(config)),
        folder=folder,
        ready=lambda: _answers(host, port, certificate, key),
    )
    with running(server) as process:
        yield Redis(process=process, address=f"rediss://{host}:{port}", certificate=certificate, key=key)


def _answers(host: str, port: int, certificate: Path, key: Path) -> bool:
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False  # the certificate is trusted by itself, not by a name
    context.load_cert_chain(certificate, key)
    with (
        suppress(OSError),
        socket.create_connection((host, port), timeout=2) as plain,
        context.wrap_socket(plain) as connection,
    ):
        connection.sendall(b"PING\r\n")
        return connection.recv(64) == b"+PONG\r\n"
    return False
