"""A drill inside Locust's own command: arguments, one generator a worker, exact percentiles at the end."""

import logging
import math
import os
from pathlib import Path
from typing import Any

from locust import LoadTestShape
from locust.runners import STATE_INIT, MasterRunner, WorkerRunner

from drillyard.core.errors import DrillyardError, ExitCode
from drillyard.core.load import Load, parse_shape
from drillyard.core.settings import Settings
from loadtests.generator.arrivals import schedule
from loadtests.generator.exchange import Exchange
from loadtests.generator.openloop import OpenLoop
from loadtests.generator.payloads import Payloads, read_card
from loadtests.generator.recorder import Recorder
from loadtests.generator.users import reporter
from loadtests.judge.verdict import fell_behind

logger = logging.getLogger("drillyard")
DEFAULT_HOST, DEFAULT_DURATION_S = "http://127.0.0.1:8000", 30.0
_SHARE = "drill_share"  # master -> worker: [its index, number of workers, seconds of arrivals]


def add_arguments(parser: Any) -> None:
    """The drill's own options; Locust shows them on its page too (not those of an argument group)."""
    parser.add_argument("--samples", default="", help="Folder with samples.npz and card.json of the model to ask")
    parser.add_argument("--model", default="", help="Model to ask: NAME or NAME/VERSION; default the card's name")
    parser.add_argument(
        "--rate", type=float, default=100.0, help="Requests a second of the whole test, over all workers"
    )
    parser.add_argument("--duration", type=float, default=0.0, help="Seconds of arrivals; default --run-time, else 30")
    parser.add_argument(
        "--shape", default="poisson", help='Of the load over time: spike, or with figures {"kind":"spike","factor":5}'
    )
    parser.add_argument("--seed", type=int, default=0, help="Seed of the arrival times; same seed, same arrivals")


class StandaloneDrill:
    """One Locust process's view of the drill: a local runner, a master that sums up, or a worker with its share."""

    def __init__(self, environment: Any) -> None:
        self.environment = environment
        self.processes = 1
        self._share: tuple[int, int, float] | None = None
        self._loop: OpenLoop | None = None
        self._error: str | None = None
        self._workers_done: set[str] = set()
        self._recorder = Recorder(math.inf)
        environment.host = environment.host or DEFAULT_HOST
        environment.drill = None
        if environment.shape_class is not None:
            environment.shape_class.use_common_options = False  # from here on: no field for users on Locust's page
        environment.events.test_start.add_listener(self._start)
        environment.events.test_stop.add_listener(self._summarise)
        environment.events.report_to_master.add_listener(self._to_master)
        environment.events.worker_report.add_listener(self._from_worker)
        if isinstance(environment.runner, WorkerRunner):
            environment.runner.register_message(_SHARE, self._set_share)

    @property
    def ended(self) -> bool:
        if isinstance(self.environment.runner, MasterRunner):
            return len(self._workers_done) >= self.processes
        return self._error is not None or (self._loop is not None and self._loop.done.is_set())

    @property
    def processes_now(self) -> int:
        """That would take part in a test which began now."""
        return max(1, len(getattr(self.environment.runner, "clients", ())))

    def _start(self, environment: Any, **_: Any) -> None:
        runner = environment.runner
        self._recorder, self._loop, self._error, self._workers_done = Recorder(math.inf), None, None, set()
        if isinstance(runner, MasterRunner):
            workers = list(runner.clients)
            self.processes = self.processes_now
            for index, client_id in enumerate(workers):
                runner.send_message(_SHARE, [index, len(workers), _duration_s(environment.parsed_options)], client_id)
            return
        try:
            self._loop = environment.drill = self._build(environment.parsed_options)
        except DrillyardError as exc:
            self._fail(str(exc), exc.exit_code)

    def _build(self, options: Any) -> OpenLoop:
        # Locust sends its workers the drill's own options, but not --run-time.
        index, processes, duration_s = self._share or (0, 1, _duration_s(options))
        folder = Path(options.samples)
        load = Load(rate_rps=options.rate, duration_s=duration_s, seed=options.seed, shape=parse_shape(options.shape))
        times = schedule(load)
        return OpenLoop(
            exchange=Exchange(
                url=self.environment.host,
                model=options.model or read_card(folder).name,
                payloads=Payloads.load(folder),
                api_key=Settings.from_env(os.environ).api_key,
            ),
            times=times[index::processes],  # every n-th arrival: the workers together send the whole process
            numbers=range(index, len(times), processes),
            recorder=self._recorder,
            report=reporter(self.environment),
        )

    def _fail(self, message: str, exit_code: int) -> None:
        logger.error("%s", message)
        self._error = message
        self.environment.process_exit_code = int(exit_code)

    def _set_share(self, msg: Any, **_: Any) -> None:
        self._share = tuple(msg.data)

    def _to_master(self, data: dict[str, Any], **_: Any) -> None:
        data["drill"] = {"done": self.ended, "error": self._error, "counts": self._recorder.drain()}

    def _from_worker(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        report = data["drill"]
        self._recorder.merge(report["counts"])
        if report["error"]:
            self._fail(report["error"], ExitCode.USAGE)
        if report["done"]:
            self._workers_done.add(client_id)

    def _summarise(self, environment: Any, **_: Any) -> None:
        recorder = self._recorder
        if isinstance(environment.runner, WorkerRunner) or not recorder.requests:
            return
        figures = ", ".join(f"p{p:g} {recorder.percentile_ms(p):.2f} ms" for p in (50, 90, 99, 99.9))
        logger.info(
            "Drill, latency from the intended send time: %d requests, %d errors, %s, max %.2f ms, %d late sends",
            *(recorder.requests, recorder.errors, figures, recorder.percentile_ms(100), recorder.late_sends),
        )
        if fell_behind(recorder.late_sends, recorder.requests):
            self._fail("INVALID: the generator fell behind; lower --rate or add workers", ExitCode.INVALID)


def _duration_s(options: Any) -> float:
    return float(options.duration or options.run_time or DEFAULT_DURATION_S)


class OneUserEachProcess(LoadTestShape):
    """Asks Locust for one user a worker until the drill ended: the arrivals make the load, not the number of users."""

    abstract = True  # the locustfile's own subclass is the one that Locust finds
    use_common_options = True  # --run-time is read (see _build), so Locust need not warn that it is ignored

    def tick(self) -> tuple[int, float] | None:
        drill: StandaloneDrill = self.runner.environment.standalone_drill
        if self.runner.state == STATE_INIT:  # not begun: what has ended is the test before
            return (drill.processes_now, 100.0)
        return None if drill.ended else (drill.processes, 100.0)
