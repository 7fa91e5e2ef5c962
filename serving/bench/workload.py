"""What the servers are asked: the same rows for all, in each one's own form, with the answers that are right."""

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from drillyard.core.errors import DrillyardError

Arrays = Mapping[str, npt.NDArray[Any]]
RTOL, ATOL = 1e-3, 1e-4  # as the drills have it: far above what another batch size changes, far below what matters


class WrongAnswerError(DrillyardError):
    """The server answers, but not as the model does; it is not measured."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """How tensors are written in a request and read out of an answer."""

    name: str
    encode: Callable[[Arrays], tuple[dict[str, str], bytes]]  # inputs -> headers, body
    decode: Callable[[Mapping[str, str], bytes], Arrays]  # headers in lower case, body -> outputs


@dataclass(frozen=True, kw_only=True)
class Question:
    """One request and the outputs that are right for it."""

    path: str
    headers: dict[str, str]
    body: bytes
    decode: Callable[[Mapping[str, str], bytes], Arrays]
    expected: Arrays

    def wire(self, host: str) -> bytes:
        """The bytes of the HTTP request."""
        fields = {"Host": host, **self.headers, "Content-Length": str(len(self.body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + self.body

    def check(self, headers: Mapping[str, str], body: bytes) -> None:
        """Hold an answer against the model's own. Raises WrongAnswerError."""
        try:
            outputs = self.decode(headers, body)
            for name, right in self.expected.items():
                given = np.asarray(outputs[name]).reshape(-1)
                decision = right.dtype.kind not in "f"
                close = np.array_equal if decision else lambda a, b: np.allclose(a, b, rtol=RTOL, atol=ATOL)
                if given.size != right.size or not close(given, right.reshape(-1)):
                    raise WrongAnswerError(f"output {name} is {given[:4]}, the model says {right.reshape(-1)[:4]}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WrongAnswerError(f"the answer cannot be read ({error!r}): {body[:200]!r}") from error


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Questions of one kind; every request holds `rows` rows."""

    name: str
    rows: int
    questions: tuple[Question, ...]


def workload(
    name: str, form: Form, path: str, inputs: Arrays, run: Callable[[Arrays], Arrays], *, rows: int
) -> Workload:
    """Cut `inputs` (equal first dimension) into requests of `rows` rows; `run` is the model itself."""
    count = len(next(iter(inputs.values()))) // rows
    parts = [{key: array[i * rows : (i + 1) * rows] for key, array in inputs.items()} for i in range(count)]
    return Workload(name=name, rows=rows, questions=tuple(question(form, path, part, run) for part in parts))


def question(form: Form, path: str, inputs: Arrays, run: Callable[[Arrays], Arrays]) -> Question:
    """One request with these rows."""
    headers, body = form.encode(inputs)
    return Question(path=path, headers=headers, body=body, decode=form.decode, expected=run(inputs))


def ask(netloc: str, question: Question, *, timeout_s: float = 30.0) -> None:
    """Ask once, over a connection of its own. Raises OSError, HTTPException (also for a code other than 200), and
    WrongAnswerError."""
    connection = http.client.HTTPConnection(netloc, timeout=timeout_s)
    try:
        connection.request("POST", question.path, body=question.body, headers=question.headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise http.client.HTTPException(f"it answers {response.status}: {body[:200]!r}")
    question.check({key.lower(): value for key, value in response.getheaders()}, body)
