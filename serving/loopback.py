"""Close the one port of a replica that Ray Serve opens on all interfaces.

Ray 2.60 binds each replica's gRPC server for calls between deployments to `[::]` and unpickles what arrives there
(`ray/serve/_private/replica.py`, `_on_initialized`). It asks for Ray's token first, but there is no setting for its
address, and on a single machine it is only ever called from loopback.
"""

from typing import Any


def bind_replica_to_loopback() -> None:
    """Call in a replica's constructor, which runs before the port is opened. Leaves real clusters as they are."""
    import ray
    from ray.serve._private import replica

    if ray.util.get_node_ip_address() != "127.0.0.1":
        return  # other nodes must reach the port; there, the network's own walls have to hold
    add_port = replica.add_port_to_grpc_server

    def add_loopback_port(server: Any, address: str) -> Any:
        return add_port(server, address.replace("[::]", "127.0.0.1"))

    replica.add_port_to_grpc_server = add_loopback_port
