"""`drillyard stack`: real stores for this folder, as long as the command runs."""

import shlex
from contextlib import suppress
from typing import Annotated

import typer

from drillyard.cli.console import Console, JsonOption, QuietOption, settings, write_json


def stack(
    port: Annotated[int, typer.Option(help="Port of MLflow's server.", min=1, max=65535)] = 5000,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Run MLflow's server on PostgreSQL and an S3 server, with Redis for Ray beside, until Ctrl-C.

    The data stays in the home folder, under stack. Example: drillyard stack --port 5000
    """
    from drillyard.stack import run

    console = Console(quiet=quiet, json_path=json_path)
    with suppress(KeyboardInterrupt), run(settings().home / "stack", port=port, say=console.say) as running:
        lines = [f"export {name}={shlex.quote(value)}" for name, value in running.environment.items()]
        ray = " ".join(f"{name}={shlex.quote(value)}" for name, value in running.ray_environment.items())
        console.result("\n".join(["Set this to use it:", *lines, "", "A Ray head that can come back:", ray]))
        write_json(json_path, {"environment": running.environment, "ray_environment": running.ray_environment})
        running.wait()
    console.say("ended")
