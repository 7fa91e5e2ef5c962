"""The drill as a plain Locust test, with Locust's own page:

    locust -f loadtests/locustfile.py --host http://127.0.0.1:8000 --samples .drillyard/models/fraud/1 --rate 200

Add `--headless -t 10s` for the terminal, `--processes 2` (or --master and --worker) for more than one generator. Exit
codes are Locust's, but 2 for wrong arguments and 3 when the generator itself fell behind.
"""

from typing import Any

from locust import events

from loadtests.generator.users import LoopUser
from loadtests.standalone import OneUserEachProcess, StandaloneDrill, add_arguments

__all__ = ["LoopUser", "OneUser"]


class OneUser(OneUserEachProcess):
    """The shape that Locust finds in this file."""


events.init_command_line_parser.add_listener(add_arguments)


@events.init.add_listener
def _prepare(environment: Any, **_: Any) -> None:
    environment.standalone_drill = StandaloneDrill(environment)
