"""Ports of loopback for what starts seconds later: the core's, by the name that servers know."""

from drillyard.core.ports import free_port, free_ports

__all__ = ["free_port", "free_ports"]
