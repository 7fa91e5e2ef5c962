"""Run a drill in a child process and follow it: what the command line and the demo call. No Locust here."""

import http.client
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from drillyard.core import budget
from drillyard.core.contract import ModelRef
from drillyard.core.errors import ExitCode, InvalidMeasurement, ServiceUnreachable, UsageError
from drillyard.core.load import Load
from drillyard.core.slo import DrillPlan, DrillResult
from loadtests import scrape
from loadtests.chaos.marks import marked
from loadtests.chaos.strikes import Strikes
from loadtests.chaos.target import Target
from loadtests.generator import traffic
from loadtests.generator.arrivals import schedule
from loadtests.generator.child import generator
from loadtests.generator.payloads import Payloads, infer_path
from loadtests.generator.progress import Progress
from loadtests.judge.hypothesis import put_to_the_test

_PROBE_TIMEOUT_S, _STDERR_LINES = 5.0, 20


def run_drill(
    plan: DrillPlan,
    *,
    url: str,
    samples: Path,
    out: Path,
    api_key: str | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    target: Target | None = None,
) -> DrillResult:
    """Drill the model at `url` with the requests in the folder `samples`; the result is also written to `out`.

    The plan's strikes hit `target`, which a plan without any does not need. `on_progress` is called once a second. A
    KeyboardInterrupt (or any error in the callback) ends the child first, and undoes what was injected.
    Raises ServiceUnreachable (no ready model at the address), UsageError and ArtifactRefused (samples, plan), and
    InvalidMeasurement with the end of the generator's error output when it crashed.
    """
    if isinstance(plan.load, Load):
        schedule(plan.load)
    payloads = Payloads.load(samples)  # fail here, with the right error, rather than in the child
    traffic.shaped(plan.traffic, payloads, samples)
    probe(url, plan.model, api_key)
    strikes = Strikes(plan.strikes, target, lambda: _is_ready(url, plan.model, api_key))

    def follow(progress: Progress) -> None:
        strikes.follow(progress)
        on_progress(progress)

    with strikes.prepared():
        name = ModelRef.parse(plan.model).name
        before = scrape.read(url, name, api_key)
        result = _generate(plan, url=url, samples=samples, out=out, api_key=api_key, on_progress=follow)
        blows = strikes.finish()
    try:
        counted = scrape.figures(before, scrape.read(url, name, api_key))
    except ServiceUnreachable:  # a fault that the server did not survive: the drill was measured all the same
        counted = {}
    result = result.model_copy(update={"extra": {**result.extra, "server": counted}})
    result = put_to_the_test(budget.scored(marked(result, blows)))
    out.write_text(result.model_dump_json(indent=2) + "\n")
    return result


def _generate(
    plan: DrillPlan,
    *,
    url: str,
    samples: Path,
    out: Path,
    api_key: str | None,
    on_progress: Callable[[Progress], None],
) -> DrillResult:
    """The generator in its child process. Raises InvalidMeasurement."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="drillyard-") as name:
        scratch = Path(name)
        running = generator(plan, url=url, samples=samples, out=out, api_key=api_key, scratch=scratch)
        with running as child:
            assert child.stdout is not None
            for line in child.stdout:
                _relay(line, on_progress)
            child.wait()
        if not out.exists():
            words = (scratch / "stderr").read_text(errors="replace")
            tail = "\n".join(words.splitlines()[-_STDERR_LINES:])
            if child.returncode == ExitCode.INVALID:
                raise InvalidMeasurement(tail)
            raise InvalidMeasurement(f"the load generator ended with code {child.returncode} and no result:\n{tail}")
    return DrillResult.model_validate_json(out.read_bytes())


def probe(url: str, model: str, api_key: str | None = None) -> None:
    """Raises ServiceUnreachable unless the model answers that it is ready.

    Raises UsageError for a malformed address, and for a key that the server does not know.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UsageError("url", url, "http://HOST:PORT")
    path = infer_path(model).removesuffix("infer") + "ready"
    remedy = "start it with `drillyard serve up`"
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc.rpartition("@")[2], timeout=_PROBE_TIMEOUT_S)
    try:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        connection.request("GET", parts.path.rstrip("/") + path, headers=headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as exc:
        raise ServiceUnreachable(f"model {model}", url, f"{remedy} ({exc})") from exc
    finally:
        connection.close()
    if status == http.client.UNAUTHORIZED:
        given = "a key it does not know" if api_key else "none"
        raise UsageError("DRILLYARD_API_KEY", given, f"in the environment, an API key of the server at {url}")
    if status != http.client.OK:
        raise ServiceUnreachable(f"model {model}", url + path, f"it is not ready (HTTP {status}); {remedy}")


def _is_ready(url: str, model: str, api_key: str | None) -> bool:
    try:
        probe(url, model, api_key)
    except ServiceUnreachable:
        return False
    return True


def _relay(line: str, on_progress: Callable[[Progress], None]) -> None:
    try:
        progress = Progress.model_validate_json(line)
    except ValidationError:
        return  # a library's stray print is no progress
    on_progress(progress)
