"""The closed loop: wrk (a Debian package), so many connections that each send the next request after an answer."""

import json
import resource
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from drillyard.core.errors import InvalidMeasurement, UsageError
from serving.bench.workload import Question

_SCRIPT = Path(__file__).with_name("wrk.lua")
_TIMEOUT_S = 10  # of one answer; later ones are errors


@dataclass(frozen=True, kw_only=True)
class Closed:
    """One run of wrk. `requests` are those answered, with whatever code; latency is from send to answer."""

    requests: int
    duration_s: float
    p50_ms: float
    p99_ms: float
    errors: dict[str, int]  # by kind, those that occurred: connect, read, write, timeout, status (not 2xx)
    client_cpu_share: float  # wrk's own, of one core; near 1 the client is the limit

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.duration_s


def check_installed() -> None:
    """Raises UsageError when wrk cannot be found."""
    if shutil.which("wrk") is None:
        raise UsageError("wrk", None, "an installed wrk (Debian and Ubuntu: apt-get install wrk)")


def run(url: str, questions: tuple[Question, ...], *, connections: int, seconds: float) -> Closed:
    """Ask the questions in turn on every connection. Raises InvalidMeasurement when wrk itself fails."""
    with tempfile.NamedTemporaryFile(prefix="wrk-") as file:
        for question in questions:
            request = question.wire(urlsplit(url).netloc)
            file.write(f"{len(request)}\n".encode() + request)
        file.flush()
        before = _children_cpu_s()
        command = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={max(1, round(seconds))}s"]
        command += [f"--timeout={_TIMEOUT_S}s", f"--script={_SCRIPT}", url, "--", file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
        cpu_s = _children_cpu_s() - before
    if done.returncode != 0:
        raise InvalidMeasurement(f"wrk ended with code {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return parse(done.stdout, cpu_s)


def parse(output: str, cpu_s: float) -> Closed:
    """What wrk.lua printed last. Raises InvalidMeasurement when nothing was answered."""
    figures = json.loads(output.strip().splitlines()[-1])
    if not figures["requests"]:
        raise InvalidMeasurement(f"wrk had no answer at all: {figures['errors']}")
    duration_s = figures["duration_us"] / 1e6
    return Closed(
        requests=figures["requests"],
        duration_s=duration_s,
        p50_ms=figures["p50_us"] / 1e3,
        p99_ms=figures["p99_us"] / 1e3,
        errors={kind: count for kind, count in figures["errors"].items() if count},
        client_cpu_share=cpu_s / duration_s,
    )


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
