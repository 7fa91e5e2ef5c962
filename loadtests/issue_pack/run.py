"""Runs an issue: the broken side, then the mended one, each on a server of its own, and compares them."""

from collections.abc import Callable
from typing import Any

from drillyard.core import provenance
from drillyard.core.contract import Frozen
from drillyard.core.settings import Settings
from drillyard.core.slo import DrillResult, Verdict
from loadtests.bench.server import samples, server
from loadtests.chaos.replica_watch import watching
from loadtests.chaos.target import Target
from loadtests.generator.progress import Progress
from loadtests.issue_pack.issue import Figures, Issue, Side
from loadtests.judge.hypothesis import figure
from loadtests.judge.verdict import fell_behind
from loadtests.launch import run_drill
from loadtests.steady import Say, kept_up


class Compared(Frozen):
    """One figure of both sides; None where a side has no such figure."""

    path: str
    words: str
    broken: float | None
    fixed: float | None


class Outcome(Frozen):
    """What the two drills of an issue showed."""

    issue: str
    verdict: Verdict  # PASS: the failure showed and the cure helped; INVALID: a generator fell behind
    figures: tuple[Compared, ...]
    late_sends: int
    origin: dict[str, Any]


def run(issue: Issue, settings: Settings, *, port: int, say: Say, on_progress: Callable[[Progress], None]) -> Outcome:
    """Both sides, one after the other. Raises UsageError (a server of this home runs), InvalidMeasurement."""
    broken, late = _measured(issue, "broken", settings, port, say, on_progress)
    fixed, more_late = _measured(issue, "fixed", settings, port, say, on_progress)
    compared = tuple(
        Compared(path=each.path, words=each.words, broken=broken[each.path], fixed=fixed[each.path])
        for each in issue.figures
    )
    verdict = Verdict.PASS if issue.cured(compared[0].broken, compared[0].fixed) else Verdict.FAIL
    if late is None or more_late is None:
        verdict = Verdict.INVALID
    return Outcome(
        issue=issue.name,
        verdict=verdict,
        figures=compared,
        late_sends=(late or 0) + (more_late or 0),
        origin=provenance.stamp(),
    )


def _measured(
    issue: Issue, which: str, settings: Settings, port: int, say: Say, on_progress: Callable[[Progress], None]
) -> tuple[Figures, int | None]:
    """The side's figures, and its late sends; None when there were too many to trust it."""
    side: Side | Callable[[], Figures] = getattr(issue, which)
    if not isinstance(side, Side):
        return side(), 0

    def on_a_new_server() -> DrillResult:
        say(f"{issue.name}, {which}: a server with {side.recipe or 'the usual settings'}")
        with server(side.plan.model, port=port, replicas=side.replicas, recipe=side.recipe):
            say(f"{issue.name}, {which}: {side.plan.load.words}")
            return drilled(side, settings, out_name=f"issue-{issue.name}-{which}", on_progress=on_progress)

    result = kept_up(on_a_new_server, say)
    trusted = not fell_behind(result.late_sends, result.requests)
    return {each.path: figure(result, each.path) for each in issue.figures}, result.late_sends if trusted else None


def drilled(side: Side, settings: Settings, *, out_name: str, on_progress: Callable[[Progress], None]) -> DrillResult:
    """One drill of the running server, and when its second replica came."""
    target = Target.of(settings, side.plan.model)
    folder, out = samples(settings, side.plan.model), settings.reports / f"{out_name}.json"
    with watching(target) as watch:

        def follow(progress: Progress) -> None:
            watch.follow(progress)
            on_progress(progress)

        key = settings.api_key
        result = run_drill(
            side.plan, url=target.url, samples=folder, out=out, api_key=key, on_progress=follow, target=target
        )
    counted = {**result.extra["server"], "second_replica_s": watch.first_s(2)}
    result = result.model_copy(update={"extra": {**result.extra, "server": counted}})
    out.write_text(result.model_dump_json(indent=2) + "\n")
    return result
