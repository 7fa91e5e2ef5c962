"""Close the ports that Ray Serve opens on all interfaces, and the one it shares with other servers.

Ray 2.60 binds every gRPC server of a replica and of its proxies to `[::]`, and has no setting for the address: the one
for calls between deployments, which unpickles what arrives there (`ray/serve/_private/replica.py`, `_on_initialized`;
it asks for Ray's token first), and the ones for clients (`ray/serve/_private/grpc_util.py`, `start_grpc_server`), which
HAProxy alone has to reach. On a single machine all of them are only ever called from loopback.

Ray also means to keep a replica's gRPC port to itself, but says so with the text "0" where gRPC wants a number and
ignores the text. Then two servers of one machine listen on the same port, and answer each other's calls.
"""

from typing import Any


def listen_on_loopback() -> None:
    """To be called in each process that serves, before its ports are opened."""
    from ray.serve._private import default_impl, grpc_util, replica

    grpc_util.gRPCGenericServer = _unshared(grpc_util.gRPCGenericServer)
    for module, name in ((replica, "add_port_to_grpc_server"), (default_impl, "add_grpc_address")):
        setattr(module, name, _on_loopback(getattr(module, name)))


def _unshared(make_server: Any) -> Any:
    def make(factory: Any, *, extra_options: list[tuple[str, str]]) -> Any:
        return make_server(factory, extra_options=[(name, int(value)) for name, value in extra_options])

    return make


def _on_loopback(open_port: Any) -> Any:
    def open_loopback_port(server: Any, address: str) -> Any:
        return open_port(server, address.replace("[::]", "127.0.0.1"))

    return open_loopback_port
