"""However a program ends, it says so once, and ends what it started."""

import errno
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from drillyard.core import entry
from drillyard.core.errors import InvalidMeasurement, UsageError

STARTS_SOMETHING = """
import contextlib, time
from drillyard.core import entry

@contextlib.contextmanager
def something():
    try:
        yield
    finally:
        print("ended", flush=True)

def main():
    with something():
        print("started", flush=True)
        time.sleep(60)

entry.run(main)
"""


@pytest.mark.parametrize(("number", "code", "said"), [(signal.SIGTERM, 143, ""), (signal.SIGINT, 130, "interrupted\n")])
def test_a_signal_ends_what_was_started(number: signal.Signals, code: int, said: str) -> None:
    # Inherited: a shell that started the tests in the background has them ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-c", STARTS_SOMETHING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "started\n"
        child.send_signal(number)
        assert child.communicate(timeout=20) == ("ended\n", said)
    assert child.returncode == code


@pytest.fixture(autouse=True)
def _own_handler() -> Iterator[None]:
    """`run` sets the process's own handler of SIGTERM; pytest's comes back after each test."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("--rate", 0, "a number above 0"), 2, "error: --rate=0 is not valid; expected a number above 0\n"),
        (InvalidMeasurement("the generator was late"), 3, "error: the generator was late\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/somewhere"), 4, "error: /somewhere: No space left"),
    ],
)
def test_errors_for_people_are_one_line_and_a_code(
    error: Exception, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        entry.run(main)
    assert ended.value.code == code
    assert capsys.readouterr().err.startswith(said)


def test_what_nobody_foresaw_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        entry.run(lambda: 1 // 0)
