"""The Typer application. Commands import what they need when they run, so that `--help` answers at once."""

import errno
import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from drillyard.cli import data, demo, design, drill, k8s, models, observe, predict, serve, stack, train, twin
from drillyard.core.errors import DrillyardError, ExitCode
from drillyard.core.settings import NO_TELEMETRY, QUIET_LIBRARIES

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}  # the user's to mend, not a bug

app = typer.Typer(
    name="drillyard",
    help="Train, serve, drill and score ML system designs.\n\nExample: drillyard demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data")
app.command("train")(train.train)
app.add_typer(models.app, name="models")
app.command("predict")(predict.predict)
app.add_typer(serve.app, name="serve")
app.add_typer(drill.app, name="drill")
app.add_typer(design.app, name="design")
app.add_typer(k8s.app, name="k8s")
app.add_typer(twin.app, name="twin")
app.command("stack")(stack.stack)
app.add_typer(observe.app, name="observe")
app.command("demo")(demo.demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"drillyard {version('drillyard')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    del version


def _terminated(number: int, frame: FrameType | None) -> None:
    """SIGTERM unwinds like any exit, so that what was started is ended."""
    del frame
    raise SystemExit(128 + number)


def main() -> None:
    """Run the command line; errors meant for people end it with one message and their exit code."""
    for key, value in (NO_TELEMETRY | QUIET_LIBRARIES).items():
        os.environ.setdefault(key, value)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        app(standalone_mode=True)
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
