"""This project's own server, but behind Serve's Python proxy in place of HAProxy: what HAProxy costs or saves.

python -m serving.bench.python_proxy PORT MODEL SETTINGS        (as JSON; runs until SIGTERM)
"""

import sys
from dataclasses import replace
from unittest.mock import patch

from drillyard.core.settings import Settings
from serving import supervisor
from serving.environment import server_environment
from serving.recipes import laptop


def main() -> None:
    """Serve one model until SIGTERM."""
    port, reference, settings = sys.argv[1:]
    with patch.object(
        supervisor,
        "server_environment",
        lambda *given: (
            server_environment(*given) | {"RAY_SERVE_ENABLE_HA_PROXY": "0", "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0"}
        ),
    ):
        supervisor.supervise(
            replace(laptop(reference, port=int(port)), grpc_port=0),  # whose routing is HAProxy's
            Settings.model_validate_json(settings),
            on_progress=lambda _: None,
            on_ready=lambda _: None,
            log=None,
        )


if __name__ == "__main__":
    main()
