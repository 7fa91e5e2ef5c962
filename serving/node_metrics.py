"""The metrics of one node of a cluster, for a scrape of each node:

    python -m serving.node_metrics --port 9464

On one machine the front's /metrics has the counts of all processes. On a cluster each node's processes count in files
of that node, so each node answers for itself: its replicas, its front if it has one, and its HAProxy. Asks for no API
key: a firewall says who may reach the port. It must see the same process ids as the processes that count.
"""

import argparse
import os
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from drillyard.core.settings import Settings
from serving.builders import metrics_folder
from serving.clusters import HAPROXY_FOLDER, NODE_METRICS_PORT
from serving.environment import ADMIN_SOCKET
from serving.exposition import CONTENT_TYPE, exposition

METRICS_PATH, ALIVE_PATH = "/metrics", "/healthz"


def server(port: int, metrics: Path, haproxy: Path) -> ThreadingHTTPServer:
    """Listening on all interfaces; port 0 is any that is free. The caller runs and closes it."""
    routes = {METRICS_PATH: lambda: exposition(metrics, admin_socket(haproxy)), ALIVE_PATH: lambda: b"alive\n"}
    return ThreadingHTTPServer(("", port), _handler(routes))


def admin_socket(haproxy: Path) -> Path | None:
    """Of the HAProxy that started last under this folder; None while there is none."""
    found = [(path.stat().st_mtime_ns, path) for path in haproxy.glob(f"*/{ADMIN_SOCKET}")]
    return max(found)[1] if found else None


def _handler(routes: dict[str, Callable[[], bytes]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = routes.get(self.path)
            if answer is None:
                self.send_error(404)
                return
            body = answer()
            self.send_response(200)
            self.send_header("content-type", CONTENT_TYPE)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """A scrape a few seconds is no news."""
            del format, args

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=NODE_METRICS_PORT)
    port = parser.parse_args().port
    with server(port, metrics_folder(Settings.from_env(os.environ)), HAPROXY_FOLDER) as running:
        running.serve_forever()


if __name__ == "__main__":
    main()
