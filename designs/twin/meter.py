"""What requests cost a running server's processes, from the kernel's and the server's own counters (Linux).

The kernel keeps, for each thread, its time on a core and its time ready to run without one
(`/proc/PID/task/*/schedstat`, in ns), and for the machine the time that its cores were busy (`/proc/stat`).
"""

import os
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from loadtests.chaos.target import Target

_SERVED = {  # what the server counts of calls of the model, by field of `Counters`
    "drillyard_inference_duration_seconds_count": "calls",
    "drillyard_inference_duration_seconds_sum": "calls_s",
    "drillyard_batch_rows_sum": "rows",
}
_BUSY = 0.25  # of the busiest thread's time; a replica's other threads take less beside a loop that is asked anything
Thread = tuple[int, int]  # process id, thread id


@dataclass(frozen=True, kw_only=True)
class Counters:
    """All counters at one moment; the difference of two is what happened between."""

    busy_s: float  # of all cores, whatever ran
    proxy: dict[Thread, tuple[float, float]]  # seconds on a core, seconds waiting for one
    replicas: dict[Thread, tuple[float, float]]
    calls: float
    calls_s: float
    rows: float


@dataclass(frozen=True, kw_only=True)
class Work:
    """What was done between two readings. Times in seconds of a thread, summed over the processes of that kind."""

    busy_s: float
    proxy_s: float
    proxy_wait_s: float
    loop_s: float
    loop_wait_s: float
    calls: float
    calls_s: float
    rows: float


def read(target: Target) -> Counters:
    """The counters of now. Raises OSError where there is no such server, or no Linux."""
    return Counters(
        busy_s=_busy_s(),
        proxy=threads(target.haproxy()),
        replicas=threads(target.replicas()),
        **_served(target),
    )


def between(first: Counters, last: Counters) -> Work:
    """What happened from the first reading to the last."""
    proxy = _difference(first.proxy, last.proxy)
    loops = _loops(_difference(first.replicas, last.replicas))
    return Work(
        busy_s=last.busy_s - first.busy_s,
        proxy_s=sum(run for run, _ in proxy.values()),
        proxy_wait_s=sum(wait for _, wait in proxy.values()),
        loop_s=sum(run for run, _ in loops),
        loop_wait_s=sum(wait for _, wait in loops),
        calls=last.calls - first.calls,
        calls_s=last.calls_s - first.calls_s,
        rows=last.rows - first.rows,
    )


def _loops(threads: dict[Thread, tuple[float, float]]) -> list[tuple[float, float]]:
    """Each replica's event loop: its busiest thread; where another does as much, the older of the two.

    The other is then the model's, which is made when the first request needs it, long after the loop.
    """
    found = []
    for pid in {pid for pid, _ in threads}:
        own = sorted((each for each in threads if each[0] == pid), key=lambda each: -threads[each][0])
        busy = [each for each in own[:2] if threads[each][0] > _BUSY * threads[own[0]][0]]
        found.append(threads[min(busy, default=own[0])])
    return found


def _difference(
    first: dict[Thread, tuple[float, float]], last: dict[Thread, tuple[float, float]]
) -> dict[Thread, tuple[float, float]]:
    begun = {thread: first.get(thread, (0.0, 0.0)) for thread in last}
    return {thread: (run - begun[thread][0], wait - begun[thread][1]) for thread, (run, wait) in last.items()}


def threads(pids: list[int]) -> dict[Thread, tuple[float, float]]:
    """Of each thread of these processes: seconds on a core, and seconds ready to run without one."""
    found = {}
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # the thread ended meanwhile
                run_ns, wait_ns, _ = (task / "schedstat").read_text().split()
                found[pid, int(task.name)] = int(run_ns) / 1e9, int(wait_ns) / 1e9
    return found


def _busy_s() -> float:
    """User, nice, system, interrupts and what other machines of the host took (steal)."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _served(target: Target) -> dict[str, float]:
    with urllib.request.urlopen(f"{target.url}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found = dict.fromkeys(_SERVED.values(), 0.0)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in _SERVED and sample.labels.get("model") == target.model:
                found[_SERVED[sample.name]] += sample.value
    return found
