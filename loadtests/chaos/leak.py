"""A real leak in a real process of a server, without a hook for it in the server's code.

Python has one: it imports a module `sitecustomize` from its path when it starts. The folder `leaky` holds one that
waits for an order, as a file in the server's private folder, and then takes memory and keeps it. So a server can be
made to leak when it was started with `environment()`, and only then.
"""

from collections.abc import Mapping
from pathlib import Path

from drillyard.core.errors import UsageError

_FOLDER = Path(__file__).parent / "leaky"


def environment(present: Mapping[str, str]) -> dict[str, str]:
    """What to add to `present` for a server that is to leak."""
    return {"PYTHONPATH": ":".join(filter(None, (str(_FOLDER), present.get("PYTHONPATH"))))}


def leak(pid: int, run_dir: Path, leaked_bytes: int) -> None:
    """Let that process begin to leak so much. Raises UsageError when its server was not started for that."""
    if str(_FOLDER).encode() not in Path(f"/proc/{pid}/environ").read_bytes():
        raise UsageError("PYTHONPATH", "", f"{_FOLDER} in the environment of the server: only then it can leak")
    order = run_dir / f"leak-{pid}"
    order.with_suffix(".new").write_text(str(leaked_bytes))
    order.with_suffix(".new").replace(order)  # whole, or not there
