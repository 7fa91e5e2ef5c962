"""How faults are done to a server: each a context, which strikes on entering and undoes on leaving, however it is left.

`over` is set when the drill ends early; what blocks must give up then.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from drillyard.core.errors import InvalidMeasurement, ServiceUnreachable, UsageError
from loadtests.chaos.leak import leak
from loadtests.chaos.target import Target, drillyard, serves_requests

Find = Callable[[Target], list[int]]
Inject = Callable[[Target, Event], AbstractContextManager[None]]
_POLL_S = 0.1


def kill(find: Find, *, every: bool = False) -> Inject:
    """SIGKILL to the first of them, or to every one; nothing to undo, the server must replace them."""

    @contextmanager
    def inject(target: Target, _: Event) -> Iterator[None]:
        _signal(_some(find, target)[: None if every else 1], signal.SIGKILL)
        yield

    return inject


def freeze(find: Find) -> Inject:
    """SIGSTOP to the first of them, SIGCONT on leaving."""

    @contextmanager
    def inject(target: Target, _: Event) -> Iterator[None]:
        struck = _some(find, target)[:1]
        try:
            _signal(struck, signal.SIGSTOP)
            yield
        finally:
            _signal(struck, signal.SIGCONT)  # Serve may have given it up meanwhile

    return inject


def slow(find: Find, *, still_s: float, period_s: float) -> Inject:
    """All of them stand still for a part of each period, so that a call takes longer and they can do less.

    They stay alive and healthy; a process that came later is as fast as ever.
    """

    @contextmanager
    def inject(target: Target, _: Event) -> Iterator[None]:
        struck, done = _some(find, target), Event()

        def beat() -> None:
            try:
                while not done.is_set():
                    _signal(struck, signal.SIGSTOP)
                    done.wait(still_s)
                    _signal(struck, signal.SIGCONT)
                    done.wait(period_s - still_s)
            finally:
                _signal(struck, signal.SIGCONT)

        thread = Thread(target=beat, name="slow")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    return inject


def roll(
    find: Find, *, serves: Callable[[int], bool] = serves_requests, settle_s: float = 2.0, patience_s: float = 60.0
) -> Inject:
    """SIGTERM to one after the other, each once the one before was replaced: a rolling update without draining.

    A successor counts when it serves, and `settle_s` later, in which the proxy learns of it.
    """

    @contextmanager
    def inject(target: Target, over: Event) -> Iterator[None]:
        before = _some(find, target)
        for pid in before:
            known = set(find(target))
            _signal([pid], signal.SIGTERM)
            deadline = time.monotonic() + patience_s
            while not any(serves(new) for new in find(target) if new not in known) and not over.wait(_POLL_S):
                if time.monotonic() > deadline:
                    raise InvalidMeasurement(f"process {pid} was not replaced within {patience_s:g} s")
            over.wait(settle_s)
        yield

    return inject


def leak_in(find: Find, leaked_bytes: int) -> Inject:
    """The first of them leaks so much; nothing to undo, the server must replace it. Raises UsageError; see leak.py."""

    @contextmanager
    def inject(target: Target, _: Event) -> Iterator[None]:
        leak(_some(find, target)[0], target.run_dir, leaked_bytes)
        yield

    return inject


@contextmanager
def lose_registry(target: Target, _: Event) -> Iterator[None]:
    """Take the embedded registry away, and ask the server to follow it meanwhile.

    Raises UsageError when the registry is not a file, InvalidMeasurement when the server says that it found it.
    """
    uri = target.settings.tracking_uri
    if not uri.startswith("sqlite:///"):
        raise UsageError("MLFLOW_TRACKING_URI", uri, "the embedded registry (sqlite:///...), which can be taken away")
    database = Path(uri.removeprefix("sqlite:///"))
    hidden = database.with_suffix(".hidden")
    if hidden.exists():
        raise UsageError(
            "DRILLYARD_HOME", str(hidden), f"no registry that a killed drill left hidden: mv it to {database}"
        )
    database.rename(hidden)
    try:
        must_refuse("serve", "sync", target.model)
        yield
    finally:
        hidden.rename(database)


@contextmanager
def sync(target: Target, _: Event) -> Iterator[None]:
    """Move the server to the champion of now. Raises InvalidMeasurement when it refuses."""
    must("serve", "sync", target.model)
    yield


@contextmanager
def refused_sync(target: Target, _: Event) -> Iterator[None]:
    """Ask the server to move to a champion that cannot be served. Raises InvalidMeasurement when it does not refuse."""
    must_refuse("serve", "sync", target.model)
    yield


def must(*arguments: str) -> bytes:
    """Our own command; its standard output. Raises InvalidMeasurement with its last words when it fails."""
    done = drillyard(*arguments)
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip()[-500:]
        raise InvalidMeasurement(f"`drillyard {' '.join(arguments)}` ended with code {done.returncode}: {last}")
    return done.stdout


def must_refuse(*arguments: str) -> None:
    """Our own command, which must fail. Raises InvalidMeasurement when it does not."""
    if drillyard(*arguments).returncode == 0:
        raise InvalidMeasurement(f"`drillyard {' '.join(arguments)}` went well and should not have")


def _some(find: Find, target: Target) -> list[int]:
    found = find(target)
    if not found:
        raise ServiceUnreachable("a process to strike", target.url, "is the server of this home running?")
    return found


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
