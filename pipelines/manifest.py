"""What a folder of scores is of: written before its first part, and held against every later run into it.

A part is the scores of one fragment of the input, under a name that follows from the fragment's number, and appears
only when it is whole. So what is there is done: a run that was killed is continued by the parts that are missing, and
a part that is scored twice replaces itself.
"""

from typing import Literal

from pydantic import ValidationError

from drillyard.core.contract import Frozen
from drillyard.core.errors import UsageError, brief
from pipelines.fragments import Fragment
from pipelines.storage import Storage, StoredFile

MANIFEST = "_manifest.json"
SUCCESS = "_SUCCESS"  # an empty file, as Hadoop and Spark leave it: every part is there


class Manifest(Frozen):
    """The content of _manifest.json."""

    format: Literal[1] = 1
    model: str  # NAME/VERSION
    onnx_sha256: str
    input: str
    outputs: tuple[str, ...]  # of the model
    keep: tuple[str, ...]  # columns of the input beside them
    files: tuple[StoredFile, ...]
    fragments: tuple[Fragment, ...]  # each is a part

    @property
    def rows(self) -> int:
        return sum(fragment.rows for fragment in self.fragments)


def part_name(number: int) -> str:
    return f"part-{number:05d}.parquet"


def claim(output: Storage, wanted: Manifest) -> tuple[Manifest, list[int]]:
    """The manifest in force at the output, and the numbers of the parts that are still to be made.

    Raises UsageError when the output holds anything else than parts of the same model version, input and columns.
    """
    there = output.files(missing_ok=True)
    raw = output.read(MANIFEST)
    if raw is None:
        if there:
            raise _refused(output, f"an empty or new location; this one holds {output.shown(there[0].name)}")
        output.write(MANIFEST, wanted.model_dump_json(indent=2))
        return wanted, list(range(len(wanted.fragments)))
    found = _parse(output, raw)
    if reason := _difference(found, wanted):
        raise _refused(output, reason)
    parts = {part_name(number): number for number in range(len(found.fragments))}
    if strange := [file.name for file in there if file.name not in parts]:
        raise _refused(output, f"a location with parts of one run only; this one holds {output.shown(strange[0])}")
    done = {parts[file.name] for file in there}
    return found, [number for number in parts.values() if number not in done]


def succeed(output: Storage) -> None:
    """Say that every part is there, and take away what interrupted runs have left."""
    output.write(SUCCESS, "")
    output.clean()


def _difference(found: Manifest, wanted: Manifest) -> str | None:
    """Why the two must not share a folder; None when they may."""
    if found.onnx_sha256 != wanted.onnx_sha256 or found.model != wanted.model:
        mine, theirs = (f"{each.model} (sha256 {each.onnx_sha256[:12]})" for each in (wanted, found))
        return f"a location for {mine}; this one has scores of {theirs}: name another, or go on with {found.model}"
    if found.input != wanted.input:
        return f"a location for the input {wanted.input}; this one has scores of {found.input}"
    if (found.keep, found.outputs) != (wanted.keep, wanted.outputs):
        return f"the columns that its parts have: {', '.join((*found.keep, *found.outputs))}"
    if changed := sorted(set(found.files) ^ set(wanted.files), key=lambda file: file.name):
        return f"scores of the input as it is; {changed[0].name or wanted.input} has changed since: name another"
    return None


def _parse(output: Storage, raw: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(raw)
    except ValidationError as error:
        raise _refused(output, f"a location whose {MANIFEST} drillyard wrote ({brief(error)})") from None


def _refused(output: Storage, valid: str) -> UsageError:
    return UsageError("output", output.location, valid)
