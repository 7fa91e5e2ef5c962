"""`drillyard data`: fetch and list data sets."""

from typing import Annotated

import typer

from drillyard.cli.console import Console, DataDirOption, JsonOption, QuietOption, settings, write_json

app = typer.Typer(help="Fetch data sets and list where they come from.", no_args_is_help=True)


@app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(help="Data sets, such as fashion-mnist.")],
    data_dir: DataDirOption = None,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Download and verify data sets; files already in the cache are kept.

    Example: drillyard data fetch fashion-mnist ulb-creditcard
    """
    from pipelines import sources

    console = Console(quiet=quiet, json_path=json_path)
    found = {name: sources.fetch(name, settings(data_dir), console.say) for name in names}
    for name, paths in found.items():
        for path in paths.values():
            console.result(f"{name}  {path}")
    write_json(json_path, found)


@app.command("list")
def list_(json_path: JsonOption = None) -> None:
    """List the data sets there are, with origin and licence.

    Example: drillyard data list
    """
    from rich.table import Table

    from pipelines.sources import SOURCES

    table = Table("data set", "files", "licence", "origin", box=None)
    for source in SOURCES.values():
        table.add_row(source.name, str(len(source.files)), source.licence, source.origin)
    Console(quiet=False, json_path=json_path).result(table)
    write_json(json_path, {s.name: {"licence": s.licence, "origin": s.origin} for s in SOURCES.values()})
