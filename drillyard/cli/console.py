"""What people see: Rich where there is a terminal, plain lines where there is none, nothing with --quiet."""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from drillyard.core.errors import UsageError
from drillyard.core.settings import Settings


def _writable(target: Path | None) -> Path | None:
    """Refuse a place for the result before the work is done, not after."""
    if target is not None and not _is_stdout(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        except OSError as error:
            raise UsageError("--json", str(target), f"a file that can be written ({error.strerror})") from None
    return target


QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print results only.")]
JsonOption = Annotated[
    Path | None,
    typer.Option("--json", metavar="PATH", help="Write the result as JSON; - is standard output.", callback=_writable),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(help="Folder with data files supplied by hand, looked at first.", exists=True, file_okay=False),
]

_PLAIN_EVERY_S = 5.0
PIPE_COLUMNS = 200


class Step(Protocol):
    """Progress of one stage."""

    def update(self, done: float, total: float, facts: Mapping[str, str]) -> None: ...


def settings(data_dir: Path | None = None) -> Settings:
    """The environment's settings, with the option's data folder first."""
    found = Settings.from_env(os.environ)
    return found.model_copy(update={"data_dir": data_dir.resolve()}) if data_dir is not None else found


def _is_stdout(target: Path | None) -> bool:
    return target is not None and str(target) == "-"


def write_json(target: Path | None, content: Any) -> None:
    """Write the result where --json says, if it says."""
    if target is None:
        return
    text = json.dumps(content, indent=2, default=_plain_value) + "\n"
    if _is_stdout(target):
        sys.stdout.write(text)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def _plain_value(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)


class Console:
    """Stages and progress on standard error; results go to standard output, unless the result's JSON goes there."""

    def __init__(self, *, quiet: bool, json_path: Path | None) -> None:
        """`json_path`: the command's own `--json`, None where it has none; to be named, so that none forgets it."""
        from rich.console import Console as RichConsole

        self._quiet = quiet
        self._started = time.monotonic()
        self._progress = RichConsole(stderr=True, highlight=False)
        stream = sys.stderr if _is_stdout(json_path) else sys.stdout
        # A file or a pipe has no width to fit into; tables must not be cut to the 80 columns that Rich assumes.
        self._results = RichConsole(file=stream, highlight=False, width=None if stream.isatty() else PIPE_COLUMNS)
        self._fancy = self._progress.is_terminal and not quiet

    def say(self, text: str) -> None:
        """One line of progress, with the seconds since the command began."""
        if not self._quiet:
            self._progress.print(
                f"[dim]{time.monotonic() - self._started:6.1f} s[/dim]  {_escape(text)}", soft_wrap=True
            )

    def stage(self, text: str) -> None:
        """A heading."""
        if not self._quiet:
            self._progress.print(f"\n[bold]{_escape(text)}[/bold]")

    def result(self, renderable: Any) -> None:
        """Shown also with --quiet."""
        self._results.print(renderable, soft_wrap=isinstance(renderable, str))

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """A progress bar on a terminal, a line every few seconds elsewhere."""
        if self._quiet:
            yield _Silent()
        elif self._fancy:
            with _bar(self._progress) as bar:
                yield _Fancy(bar, name)
        else:
            yield _Plain(self, name)


class _Silent:
    def update(self, done: float, total: float, facts: Mapping[str, str]) -> None:
        """Nothing is shown."""


class _Plain:
    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name, self._shown = console, name, 0.0

    def update(self, done: float, total: float, facts: Mapping[str, str]) -> None:
        now = time.monotonic()
        if now - self._shown >= _PLAIN_EVERY_S or done >= total:
            self._shown = now
            words = "  ".join(f"{key} {value}" for key, value in facts.items())
            self._console.say(f"{self._name} {100 * done / max(total, 1e-9):3.0f}%  {words}")


class _Fancy:
    def __init__(self, bar: Any, name: str) -> None:
        self._bar, self._task = bar, bar.add_task(name, total=1.0, facts="")

    def update(self, done: float, total: float, facts: Mapping[str, str]) -> None:
        words = "  ".join(f"{key} {value}" for key, value in facts.items())
        self._bar.update(self._task, completed=done, total=total, facts=words)


def _bar(console: Any) -> Any:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("        {task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:3.0f}%"),
        TextColumn("{task.fields[facts]}"),
        TimeElapsedColumn(),
        console=console,
    )


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
