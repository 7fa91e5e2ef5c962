"""How every program of this project ends, whatever ends it: what it started is ended, and errors are for people."""

import errno
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from drillyard.core.errors import DrillyardError, ExitCode
from drillyard.core.settings import NO_TELEMETRY, QUIET_LIBRARIES

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}  # the user's to mend, not a bug


def run(main: Callable[[], object]) -> None:
    """Run a program's main function, without telemetry and noise of libraries.

    SIGTERM unwinds like any exit; errors meant for people end the program with one message and their exit code.
    """
    for key, value in (NO_TELEMETRY | QUIET_LIBRARIES).items():
        os.environ.setdefault(key, value)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        main()
    except DrillyardError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(int(error.exit_code)) from None
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        remedy = "make room or give access, or name other folders with DRILLYARD_HOME and DRILLYARD_CACHE"
        sys.stderr.write(f"error: {where}{error.strerror}; {remedy}\n")
        raise SystemExit(int(ExitCode.UNREACHABLE)) from None
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise SystemExit(INTERRUPTED) from None


def _terminated(number: int, frame: FrameType | None) -> None:
    del frame
    raise SystemExit(128 + number)
