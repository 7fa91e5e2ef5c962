"""Waiting for what comes about by itself."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], timeout_s: float = 30.0, look_s: float = 0.1) -> T:
    """The first true value of the condition; fails the test that waits in vain."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it did not come about in {timeout_s} s"
        time.sleep(look_s)
    return found
