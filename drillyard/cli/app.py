"""The Typer application. Commands import what they need when they run, so that `--help` answers at once."""

from typing import Annotated

import typer

from drillyard.cli import data, demo, design, drill, k8s, models, observe, predict, serve, stack, train, twin
from drillyard.core import entry

app = typer.Typer(
    name="drillyard",
    help="Train, serve, drill and score ML system designs.\n\nExample: drillyard demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data")
app.command("train")(train.train)
app.add_typer(models.app, name="models")
app.command("predict")(predict.predict)
app.add_typer(serve.app, name="serve")
app.add_typer(drill.app, name="drill")
app.add_typer(design.app, name="design")
app.add_typer(k8s.app, name="k8s")
app.add_typer(twin.app, name="twin")
app.command("stack")(stack.stack)
app.add_typer(observe.app, name="observe")
app.command("demo")(demo.demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"drillyard {version('drillyard')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line; errors meant for people end it with one message and their exit code."""
    entry.run(app)
