"""The command line: the composition root, where training, serving and drills meet."""

from drillyard.cli.app import main

__all__ = ["main"]
