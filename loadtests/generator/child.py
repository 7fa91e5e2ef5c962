"""The load generator in a process of its own, since Locust patches the interpreter."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drillyard.core.slo import DrillPlan

_END_TIMEOUT_S = 5.0


@contextmanager
def generator(
    plan: DrillPlan, *, url: str, samples: Path, out: Path, api_key: str | None, scratch: Path
) -> "Iterator[subprocess.Popen[str]]":
    """The runner as a child, its lines on `stdout`, its errors in the file `stderr` of `scratch`; ended on leaving."""
    plan_file = scratch / "plan.json"
    plan_file.write_text(plan.model_dump_json())
    command = [sys.executable, "-m", "loadtests.generator.runner", "--plan", str(plan_file), "--url", url]
    command += ["--samples", str(samples.resolve()), "--out", str(out.resolve())]
    with (scratch / "stderr").open("wb") as stderr:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=generator_environment(api_key)
        )
    assert child.stdout is not None
    try:
        with child.stdout:
            yield child
    finally:
        _end(child)


@contextmanager
def answering(*arguments: str) -> Iterator[str]:
    """The address of a server of ours as a child, which prints its port as its first line; ended on leaving.

    It has a pipe as its standard input, so that it can end with this process.
    """
    server = subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=generator_environment(None)
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.kill()
        server.wait()
        server.stdin.close()
        server.stdout.close()


def generator_environment(api_key: str | None) -> dict[str, str]:
    """The child must find this very package, also where the folder is not the working one.

    The key goes this way because everybody on the machine can read a process's arguments.
    """
    paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    key = {"DRILLYARD_API_KEY": api_key} if api_key else {}
    return {**os.environ, **key, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _end(child: subprocess.Popen[str]) -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(timeout=_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
