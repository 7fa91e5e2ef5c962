"""Ports to listen on: whether one may be had, and free ones of loopback for what starts seconds later."""

import random
import socket
from contextlib import ExitStack, suppress


def refusal(host: str, port: int) -> str | None:
    """Why this process may not listen there now; None when it may."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do; TIME_WAIT is not "taken"
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror
    return None


def free_port() -> int:
    """One port as `free_ports` finds them."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different TCP ports of loopback on which nobody listens.

    From a range that neither the kernel (32768 and up for port 0 and for clients) nor Ray (workers below 20000,
    replicas from 30000) takes ports from by itself: such a port may be gone by the time it is wanted.
    """
    found: list[int] = []
    with ExitStack() as held:  # until all are found, so that none is found twice
        while len(found) < count:
            port = random.randrange(20_000, 30_000)
            probe = held.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
    return found
