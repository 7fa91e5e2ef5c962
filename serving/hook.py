"""What Ray Serve runs in each process that serves, before its ports are opened.

By RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH, its hook for adding HTTP middleware.
"""

from starlette.middleware import Middleware

from serving.at_once import AtOnce
from serving.loopback import listen_on_loopback


def on_a_cluster() -> list[Middleware]:
    """The same where HAProxies of other nodes must reach the replicas: a firewall keeps everybody else out."""
    return [Middleware(AtOnce)]


def prepare() -> list[Middleware]:
    """Close what Serve leaves open; the result stands around its HTTP app."""
    listen_on_loopback()
    return on_a_cluster()
