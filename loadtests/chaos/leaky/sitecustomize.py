"""Lets a process leak on demand (see leak.py). Python imports it when it starts with this folder on PYTHONPATH."""

import os
import threading
import time
from pathlib import Path

RUN_DIR = "DRILLYARD_RUN_DIR"  # drillyard.core.processes.MARK; this file imports nothing of the project
STEP_BYTES, PAUSE_S = 4 * 2**20, 1 / 64  # 256 MiB/s
_held: list[bytes] = []


def _leak_when_told(order: Path) -> None:
    while not order.exists():
        time.sleep(0.5)
    left_bytes = int(order.read_text())
    while left_bytes > 0:
        _held.append(b"x" * STEP_BYTES)  # written to, so that it is really taken
        left_bytes -= STEP_BYTES
        time.sleep(PAUSE_S)


if RUN_DIR in os.environ:
    _order = Path(os.environ[RUN_DIR]) / f"leak-{os.getpid()}"
    threading.Thread(target=_leak_when_told, args=(_order,), daemon=True).start()
