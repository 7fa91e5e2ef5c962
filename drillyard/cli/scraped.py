"""A running command answers Prometheus, on a port of loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from drillyard.core.errors import UsageError

HOST = "127.0.0.1"

PortOption = Annotated[
    int | None,
    typer.Option("--metrics-port", help=f"Port of {HOST} for Prometheus meanwhile; default none.", min=1, max=65535),
]


@contextmanager
def scraped(collector: object, port: int | None) -> Iterator[None]:
    """What `collector.collect()` tells, at http://127.0.0.1:PORT/metrics until the end; with None nobody is answered.

    Raises UsageError when the port is taken.
    """
    if port is None:
        yield
        return
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)  # type: ignore[arg-type]  # whatever has `collect`; its own class is abstract
    try:
        server, thread = start_http_server(port, addr=HOST, registry=registry)
    except OSError as error:
        raise UsageError("--metrics-port", port, f"a free port of {HOST} ({error.strerror})") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
