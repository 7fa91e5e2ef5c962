"""`drillyard serve sync|canary|shadow|rollback`: change what a running server serves."""

import time
from typing import Annotated, Any

import typer

from drillyard.cli.console import Console, JsonOption, QuietOption, settings, write_json

_TIMEOUT_S = 300.0  # fetching a version from a far registry, and proving it on every replica

Model = Annotated[str, typer.Argument(help="Name of a served model.")]
Version = Annotated[int | None, typer.Option(help="Its version; default the challenger alias's.", min=1)]
MaxFailed = Annotated[float, typer.Option(help="Roll back above this share of answers with status 500, in percent.")]
MaxSlow = Annotated[float, typer.Option(help="Roll back above this share of slow answers, in percent.")]
SlowMs = Annotated[float, typer.Option(help="An answer that takes longer is slow; a bound of the latency histogram.")]
MaxDisagreed = Annotated[
    float, typer.Option(help="Roll back above this share of decisions unlike the champion's, in percent.")
]


def sync(
    models: Annotated[list[str] | None, typer.Argument(help="Served models; default all that follow an alias.")] = None,
    watch: Annotated[float | None, typer.Option(help="Go on, and look again after so many seconds.", min=1)] = None,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Move the running server to the champions of now, without a restart and without a failed request.

    Each replica loads the new version beside the one that answers, verifies its hash and signature, lets it answer its
    own samples, and only then turns to it. A version that fails any of it is refused, and the old one goes on.

    Example: drillyard serve sync fraud
    """
    from drillyard.core.errors import DrillyardError

    console = Console(quiet=quiet, json_path=json_path)
    while True:
        try:
            _carry_out({"command": "sync", "models": models or []}, console, json_path)
        except DrillyardError as error:
            if watch is None:
                raise
            console.say(str(error))
        if watch is None:
            return
        time.sleep(watch)


def canary(
    model: Model,
    percent: Annotated[float, typer.Option(help="Share of the requests it answers.", min=0.01, max=100)],
    version: Version = None,
    max_failed: MaxFailed = 1.0,
    max_slow: MaxSlow = 1.0,
    slow_ms: SlowMs = 50.0,
    max_disagreed: MaxDisagreed = 10.0,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Let a challenger answer a share of the requests, the same request ids always; it is rolled back on evidence.

    Example: drillyard serve canary vision --percent 10
    """
    limits = _limits(failed=max_failed / 100, slow=max_slow / 100, slow_s=slow_ms / 1000, disagreed=max_disagreed / 100)
    command = {"command": "canary", "model": model, "version": version, "percent": percent, "limits": limits}
    _carry_out(command, Console(quiet=quiet, json_path=json_path), json_path)


def shadow(
    model: Model,
    version: Version = None,
    max_failed: MaxFailed = 1.0,
    max_disagreed: MaxDisagreed = 10.0,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Let a challenger see copies of all requests; its answers are compared and counted, never returned.

    Example: drillyard serve shadow vision
    """
    limits = _limits(failed=max_failed / 100, disagreed=max_disagreed / 100)
    _carry_out(
        {"command": "shadow", "model": model, "version": version, "limits": limits},
        Console(quiet=quiet, json_path=json_path),
        json_path,
    )


def rollback(model: Model, quiet: QuietOption = False, json_path: JsonOption = None) -> None:
    """End a model's canary or shadow: the champion answers everything again.

    Example: drillyard serve rollback vision
    """
    _carry_out({"command": "rollback", "model": model}, Console(quiet=quiet, json_path=json_path), json_path)


def described(name: str, variant: Any) -> str:
    """What is served of one model, in a line or two."""
    text = f"{name}/{variant.champion}"
    if variant.challenger is not None:
        role = "in the shadow" if variant.shadow else f"answering {variant.percent:g}%"
        text += f", version {variant.challenger} {role}"
        text += f" ({variant.answered} answered, {variant.failed} failed, {variant.slow} slow; compared:"
        text += f" {variant.agreed} agree, {variant.disagreed} disagree, {variant.not_compared} not,"
        text += f" largest difference {variant.max_difference:.3g})"
    return f"{text}\n  {variant.event}" if variant.event else text


def _limits(**values: float) -> dict[str, float]:
    from dataclasses import asdict

    from serving.rollout import Limits

    return asdict(Limits(**values))


def _carry_out(command: dict[str, Any], console: Console, json_path: Any) -> None:
    from drillyard.core.errors import ServiceUnreachable
    from serving import lifecycle
    from serving.control import call
    from serving.state import VariantState

    where = settings()
    server = lifecycle.status(where)
    if server is None:
        raise ServiceUnreachable("the server", str(where.home), "start it: drillyard serve up")
    found = call(server.run_dir, command, timeout_s=_TIMEOUT_S)
    for name, state in found.items():
        console.result(described(name, VariantState.model_validate(state)))
    write_json(json_path, found)
