"""Prometheus's own opinion of a text that it would scrape."""

import subprocess

from tests.support import needs


def assert_promtool_accepts(text: str) -> None:
    """Skips where promtool is not installed."""
    command = [needs.program("promtool", "prometheus"), "check", "metrics"]
    done = subprocess.run(command, input=text, text=True, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
