"""The Locust side of the generator: one user a process, which is the whole loop."""

from typing import Any

from locust import User, task
from locust.exception import StopUser

from loadtests.generator.closedloop import ClosedLoop
from loadtests.generator.exchange import Report
from loadtests.generator.openloop import OpenLoop
from loadtests.generator.recorder import REJECTED


class RequestError(Exception):
    """What Locust's pages show for a failed request; the message is the error kind."""


def reporter(environment: Any) -> Report:
    """Tell Locust of each request, so that its page, CSV files and exit code work; latency from the intended time."""
    failures: dict[str, RequestError] = {}  # one exception a kind: making them by the thousand costs sends

    def report(path: str, latency_ms: float | None, response_bytes: int, error: str | None) -> None:
        environment.events.request.fire(
            request_type="POST",
            name=path,
            response_time=latency_ms,
            response_length=response_bytes,
            exception=failures.setdefault(str(error), RequestError(error)) if error not in (None, REJECTED) else None,
            context={},
        )

    return report


class LoopUser(User):
    """Runs the loop that stands in `environment.drill`; further users of the process have nothing to do."""

    @task
    def drill(self) -> None:
        loop: OpenLoop | ClosedLoop | None = self.environment.drill
        self.environment.drill = None
        if loop is not None:
            loop.run()
        raise StopUser
