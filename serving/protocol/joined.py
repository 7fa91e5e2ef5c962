"""A response's head and body in one write to the socket.

uvicorn writes the head when it hears the status and the body when it gets that, and uvloop sends each at once: two
system calls, and two packets for HAProxy, for what is one small answer.
"""

from typing import Any

from serving.protocol.asgi import Receive, Scope


def join(scope: Scope, receive: Receive) -> None:
    """Let the answer that comes next, whole, leave in one write. Changes nothing under a server other than uvicorn."""
    # uvicorn's `receive` is a method of the request's cycle (see patience.py), which writes to its `transport`.
    cycle: Any = getattr(receive, "__self__", None)
    if hasattr(cycle, "transport") and scope["method"] != "HEAD":  # whose answer has no body to write
        cycle.transport = _Joining(cycle)


class _Joining:
    """Stands for a cycle's transport until it has been written to twice."""

    __slots__ = ("_cycle", "_head", "_transport")

    def __init__(self, cycle: Any) -> None:
        self._cycle, self._transport = cycle, cycle.transport
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        if self._head is None:
            self._head = data
        else:
            self._cycle.transport = self._transport
            self._transport.write(self._head + data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
