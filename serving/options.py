"""What Ray Serve is told when it starts, by the supervisor or by a config file."""

from typing import Any

from serving.recipes import ServeConfig

# Serve's own log records of each request are not even built at this level; at INFO they cost a tenth of the time.
LOGGING = {"log_level": "WARNING", "enable_access_log": False}
MODEL_DEPLOYMENT, FRONT_DEPLOYMENT = "model", "front"  # one deployment in each application
FRONT_ROUTE = "/"


def model_route(name: str) -> str:
    """Where the routes of that model's application begin."""
    return f"/v2/models/{name}"


def http_options(host: str, config: ServeConfig) -> dict[str, Any]:
    """`host` is where Serve listens; clients may reach HAProxy elsewhere."""
    return {"host": host, "port": config.port}


def grpc_options(config: ServeConfig) -> dict[str, Any]:
    return {
        "port": config.grpc_port,
        "grpc_servicer_functions": ["serving.grpc.service.add_to_server"],
        "enable_reflection": False,  # it answers without asking for an API key
    }
