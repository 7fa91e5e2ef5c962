"""What this generator process can send here and now, and loads that are beyond it.

A generator that is asked for more than it can send measures itself. Its limit is found before each drill, with the
drill's own requests and answers, from the processor time of a request against a server that does nothing.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from drillyard.core.errors import InvalidMeasurement
from drillyard.core.load import ClosedLoad
from loadtests.generator.arrivals import Times
from loadtests.generator.child import answering
from loadtests.generator.closedloop import ClosedLoop
from loadtests.generator.exchange import Exchange, Report
from loadtests.generator.payloads import Payloads
from loadtests.generator.recorder import Recorder

USERS, MEASURE_S = 16, 0.5
# Of a core's time; above it, arrivals that come by chance close together are sent late.
BUSY_SHARE = 0.8


def refuse_beyond(limit_rps: float, times: Times) -> None:
    """Raises InvalidMeasurement when more requests are due in some second than the generator can send."""
    peak_rps = peak(times)
    if peak_rps > limit_rps:
        raise InvalidMeasurement(
            f"the load asks for up to {peak_rps:,.0f} requests in a second, and one generator process sends at most "
            f"{limit_rps:,.0f} of these a second on this machine; ask for less, or use several processes "
            "(locust -f loadtests/locustfile.py --processes 4)"
        )


def peak(times: Times) -> float:
    """The most requests that are due within any second."""
    return float((np.searchsorted(times, times + 1.0) - np.arange(len(times))).max(initial=0))


def measure(payloads: Payloads, model: str, report: Report | None = None) -> float:
    """Requests a second that this process can send and check without falling behind."""
    recorder = Recorder(1000.0)
    with echoing(payloads.first_answer()) as url:
        exchange = Exchange(url=url, model=model, payloads=payloads.only_first())
        loop = ClosedLoop(
            exchange=exchange, load=ClosedLoad(users=USERS, duration_s=MEASURE_S), recorder=recorder, report=report
        )
        before_s = time.process_time()
        loop.run()
        cpu_s = time.process_time() - before_s
    if recorder.errors or not recorder.ok:
        raise InvalidMeasurement(f"the generator's limit cannot be measured: {recorder.measured(0).error_counts}")
    return BUSY_SHARE * recorder.ok / cpu_s


@contextmanager
def echoing(answer: bytes) -> Iterator[str]:
    """The address of a server of its own process that answers everything so."""
    with tempfile.NamedTemporaryFile(prefix="drillyard-") as file:
        file.write(answer)
        file.flush()
        with answering("-I", str(Path(__file__).with_name("echo.py")), file.name) as url:
            yield url
