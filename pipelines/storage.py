"""Files in a local folder or below a prefix of an S3 bucket, read and written alike.

S3 is reached as the environment says: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, and AWS_ENDPOINT_URL for
a store that is not Amazon's (https://arrow.apache.org/docs/python/filesystems.html).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import pyarrow as pa
from pyarrow import fs

from drillyard.core.contract import Frozen
from drillyard.core.errors import SourceError, UsageError, brief

TEMPORARY = "_temporary"  # files that are not whole yet; readers of Parquet folders pass over names with _ or . before
_REMEDY = "Check the name and your access; for s3:// that is AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and "
_REMEDY += "AWS_ENDPOINT_URL in the environment."


class StoredFile(Frozen):
    """A file as a listing shows it; enough to notice that it was replaced."""

    name: str  # below the location, with / between folders; empty when the location itself is the file
    size_bytes: int
    modified: str  # ISO 8601


def is_location(text: str) -> bool:
    """Whether the text names a place for files, and not a data set: it has a slash in it."""
    return "/" in text


@dataclass(frozen=True, kw_only=True)
class Storage:
    """One location. May be sent to other processes, which need the same environment for S3."""

    location: str  # for people, and to know it again; a local path is absolute
    filesystem: fs.FileSystem
    root: str  # as the file system has it

    @classmethod
    def open(cls, key: str, location: str) -> "Storage":
        """`key` is what the location is called in messages. Raises UsageError, SourceError."""
        if not location or ("://" in location and not location.startswith("s3://")):
            raise UsageError(key, location, "a path, or s3://BUCKET/PREFIX")
        if "://" not in location:
            path = str(Path(location).resolve())
            return cls(location=path, filesystem=fs.LocalFileSystem(), root=path)
        try:
            with reaching(location):
                filesystem, root = fs.FileSystem.from_uri(location)
        except pa.ArrowInvalid as error:
            raise UsageError(key, location, f"s3://BUCKET/PREFIX ({brief(error)})") from None
        return cls(location=location.rstrip("/"), filesystem=filesystem, root=root.rstrip("/"))

    def path(self, name: str) -> str:
        """A file's path as the file system has it."""
        return f"{self.root}/{name}" if name else self.root

    def shown(self, name: str) -> str:
        """A file's name for people."""
        return f"{self.location}/{name}" if name else self.location

    def files(self, *, missing_ok: bool = False) -> list[StoredFile]:
        """The files here and in folders below, by name, without those that _ or . hides. Raises SourceError."""
        with reaching(self.location):
            if self.filesystem.get_file_info(self.root).type == fs.FileType.File:
                return [_stored("", self.filesystem.get_file_info(self.root))]
            selector = fs.FileSelector(self.root, allow_not_found=missing_ok, recursive=True)
            found = [info for info in self.filesystem.get_file_info(selector) if info.type == fs.FileType.File]
        named = [_stored(info.path[len(self.root) + 1 :], info) for info in found]
        return sorted((file for file in named if not _hidden(file.name)), key=lambda file: file.name)

    def read(self, name: str) -> bytes | None:
        """A small file's content; None where there is none. Raises SourceError."""
        with reaching(self.shown(name)):
            if self.filesystem.get_file_info(self.path(name)).type != fs.FileType.File:
                return None
            with self.filesystem.open_input_stream(self.path(name)) as stream:
                return stream.read()

    def write(self, name: str, content: str) -> None:
        """A small file, whole or not there (see put). Raises SourceError."""
        with reaching(self.shown(name)):
            self.put(name, lambda stream: stream.write(content.encode()))

    def put(self, name: str, write: Callable[[Any], None]) -> None:
        """Let `write` fill a file that appears under its name only when it is whole, and then replaces one there.

        A local move is atomic, and so is the copy within a bucket that stands for it on S3. A process that dies on the
        way leaves a file in the folder for temporary ones, or an upload that nobody sees. Raises OSError.
        """
        # No name is used twice: whoever was thought dead may still be writing.
        temporary = self.path(f"{TEMPORARY}/{uuid4().hex}")
        self._make_folder(temporary)
        with self.filesystem.open_output_stream(temporary) as stream:
            write(stream)
        self._make_folder(self.path(name))
        self.filesystem.move(temporary, self.path(name))

    def clean(self) -> None:
        """Delete what interrupted writes have left."""
        with reaching(self.location):
            if self.filesystem.get_file_info(self.path(TEMPORARY)).type != fs.FileType.NotFound:
                self.filesystem.delete_dir(self.path(TEMPORARY))

    def _make_folder(self, path: str) -> None:
        if isinstance(self.filesystem, fs.LocalFileSystem):  # S3 has no folders; made ones would be empty objects
            Path(path).parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def reaching(what: str) -> Iterator[None]:
    """Say of a failing file system which file or location it was. Raises SourceError."""
    try:
        yield
    except OSError as error:
        raise SourceError(what, brief(error), _REMEDY) from error


def _stored(name: str, info: Any) -> StoredFile:
    return StoredFile(name=name, size_bytes=info.size, modified=info.mtime.isoformat() if info.mtime else "")


def _hidden(name: str) -> bool:
    return any(part.startswith(("_", ".")) for part in PurePosixPath(name).parts)
