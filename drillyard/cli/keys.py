"""`drillyard serve key`: the API keys of a server."""

from pathlib import Path
from typing import Annotated

import typer

from drillyard.cli.console import Console, settings

app = typer.Typer(help="Make, list and remove the API keys of a server.", no_args_is_help=True)

FileOption = Annotated[
    Path | None,
    typer.Option(help="File of API keys (names and hashes); beyond loopback, default .drillyard/api-keys."),
]
NameArgument = Annotated[str, typer.Argument(help="Whose key it is; may stand in logs.")]


@app.command()
def add(name: NameArgument, keys_file: FileOption = None) -> None:
    """Make a key and print it, once: only its hash is kept. A server that reads the file takes it within a second.

    Example: drillyard serve key add alice
    """
    from serving import keyfile

    console, path = Console(quiet=False, json_path=None), keys_file or settings().keys_file
    key = keyfile.add(path, name)
    console.say(f"key {name} is in {path} as a hash; this is the only time it is shown:")
    console.result(key)


@app.command(name="list")
def names(keys_file: FileOption = None) -> None:
    """Print the names of the keys.

    Example: drillyard serve key list
    """
    from serving import keyfile

    for key in keyfile.read(keys_file or settings().keys_file):
        Console(quiet=False, json_path=None).result(key.name)


@app.command()
def remove(name: NameArgument, keys_file: FileOption = None) -> None:
    """Take a key back. A server that reads the file refuses it within a second.

    Example: drillyard serve key remove alice
    """
    from serving import keyfile

    path = keys_file or settings().keys_file
    keyfile.remove(path, name)
    Console(quiet=False, json_path=None).say(f"key {name} is no longer in {path}")
