"""The configuration that the installed Ray Serve writes for HAProxy."""

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment


def rendered(config: Any, backends: Sequence[Any] = (), grpc_backends: Sequence[Any] = ()) -> str:
    """Of Serve's own HAProxyConfig and BackendConfigs, by its template."""
    from ray.serve._private.haproxy import HAPROXY_CONFIG_TEMPLATE

    def with_health(these: Sequence[Any]) -> list[dict[str, Any]]:
        return [{"backend": each, "health_config": each.build_health_check_config(config)} for each in these]

    templates = Environment(autoescape=False)
    templates.filters["haproxy_fmt"] = str
    text: str = templates.from_string(HAPROXY_CONFIG_TEMPLATE).render(
        config=config,
        backends=backends,
        backends_with_health_config=with_health(backends),
        healthz_rules="",
        route_info={"status": 200, "routes_content_type": "text/plain", "routes_message": "{}"},
        grpc_backends=grpc_backends,
        grpc_backends_with_health_config=with_health(grpc_backends),
        grpc_healthz_rules="",
    )
    return text + "\n"
