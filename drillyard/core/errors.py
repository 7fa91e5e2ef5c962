"""Exceptions that carry data: what was wrong, its value, and the valid form.

Each has the exit code the command line returns for it (see `ExitCode`).
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What every `drillyard` command returns to the shell."""

    OK = 0  # done, or PASS
    FAIL = 1  # a promise was not kept: SLO missed, gate refused, training diverged
    USAGE = 2  # the words of the call are wrong
    INVALID = 3  # the measurement itself cannot be trusted
    UNREACHABLE = 4  # a needed service or file cannot be reached


class DrillyardError(Exception):
    """Base of all errors meant for people; anything else that escapes is a bug."""

    exit_code = ExitCode.FAIL


class UsageError(DrillyardError):
    """A key has a value that is not of the valid form."""

    exit_code = ExitCode.USAGE

    def __init__(self, key: str, value: object, valid: str) -> None:
        super().__init__(f"{key}={value!r} is not valid; expected {valid}")
        self.key, self.value, self.valid = key, value, valid


class SourceError(DrillyardError):
    """A data file cannot be had, or is not the file it should be."""

    exit_code = ExitCode.UNREACHABLE

    def __init__(self, file: str, reason: str, remedy: str) -> None:
        super().__init__(f"{file}: {reason}\n{remedy}")
        self.file, self.reason, self.remedy = file, reason, remedy


class ServiceUnreachable(DrillyardError):
    """A service the command needs does not answer."""

    exit_code = ExitCode.UNREACHABLE

    def __init__(self, service: str, address: str, remedy: str) -> None:
        super().__init__(f"{service} at {address} does not answer; {remedy}")
        self.service, self.address, self.remedy = service, address, remedy


class TrainingFailed(DrillyardError):
    """Training stopped: diverged, or its workers could not be kept alive."""


class ParityError(DrillyardError):
    """The exported graph does not answer as the trained model does."""


class GateRefused(DrillyardError):
    """The challenger is worse than the champion by more than chance explains."""


class ArtifactRefused(DrillyardError):
    """A model file is not the one its card describes, so it is not served."""

    def __init__(self, ref: str, reason: str) -> None:
        super().__init__(f"model {ref} refused: {reason}")
        self.ref, self.reason = ref, reason


class ModelNotFound(DrillyardError):
    """The registry holds no such model, version or alias."""

    exit_code = ExitCode.USAGE

    def __init__(self, ref: str, remedy: str) -> None:
        super().__init__(f"model {ref} is not in the registry; {remedy}")
        self.ref = ref


class InvalidMeasurement(DrillyardError):
    """The measurement cannot be trusted, whatever it says."""

    exit_code = ExitCode.INVALID


def brief(error: BaseException) -> str:
    """The first line of an error's text, at most 300 characters; its type's name when it has none."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
