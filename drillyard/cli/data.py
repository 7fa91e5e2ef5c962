"""`drillyard data`: fetch and list data sets, and write them as Parquet."""

from typing import Annotated

import typer

from drillyard.cli.console import Console, DataDirOption, JsonOption, QuietOption, settings, write_json

app = typer.Typer(help="Fetch data sets, list where they come from, write them as Parquet.", no_args_is_help=True)


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


@app.command()
def shard(
    system: Annotated[str, typer.Argument(help="Whose data set: vision or fraud.")],
    target: Annotated[str, typer.Argument(help="New folder or s3://BUCKET/PREFIX.")],
    dataset: Annotated[str | None, typer.Option(help="Another data set than the base recipe's.")] = None,
    file_rows: Annotated[int, typer.Option(help="Rows in a file.", min=1)] = 200_000,
    data_dir: DataDirOption = None,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Write a data set, split, as Parquet files that training streams.

    Example: drillyard data shard fraud s3://bucket/fraud
    """
    from pipelines import shards
    from pipelines import system as systems
    from pipelines.storage import Storage

    console = Console(quiet=quiet, json_path=json_path)
    chosen = systems.get(system)
    where = Storage.open("target", target)
    loaded = chosen.load(dataset or chosen.recipe().dataset, settings(data_dir), console.say)
    written = shards.write(loaded, system, where, file_rows=file_rows)
    rows = sum(count for count, _ in written.files.values())
    console.result(f"{rows:,} rows in {len(written.files)} files of {target}")
    write_json(json_path, written)
