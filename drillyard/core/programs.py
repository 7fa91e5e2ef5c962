"""Programs of the machine, which the project uses and does not install."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from drillyard.core.errors import DrillyardError, ExitCode


class ProgramMissing(DrillyardError):
    """A program that a command needs is not on this machine."""

    exit_code = ExitCode.UNREACHABLE

    def __init__(self, program: str, package: str, installer: str = "apt-get") -> None:
        super().__init__(f"{program} is not on PATH; install it: {installer} install {package}")
        self.program, self.package = program, package


def find(program: str, package: str, folders: Iterable[Path] = (), *, installer: str = "apt-get") -> str:
    """The program's path: in the first of the folders that has it, or else on PATH.

    Raises ProgramMissing, which names the package, Debian's unless the installer is another.
    """
    found = shutil.which(program, path=":".join(map(str, folders))) or shutil.which(program)
    if found is None:
        raise ProgramMissing(program, package, installer)
    return found
