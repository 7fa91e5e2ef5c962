"""`drillyard models`: look at the registry and move its aliases."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from drillyard.cli import backups
from drillyard.cli.console import Console, DataDirOption, JsonOption, QuietOption, settings, write_json

app = typer.Typer(help="List, inspect, promote, roll back and save registered models.", no_args_is_help=True)

for command in (backups.backup, backups.restore):
    app.command()(command)

RefArgument = Annotated[str, typer.Argument(metavar="MODEL", help="NAME, NAME@ALIAS or NAME/VERSION.")]


@app.command("list")
def list_(json_path: JsonOption = None) -> None:
    """List every registered version and its aliases.

    Example: drillyard models list
    """
    from rich.table import Table

    from pipelines import registry

    found = registry.versions(settings())
    table = Table("model", "alias", "recipe", "promoted", "rolled back", box=None)
    for model in found:
        table.add_row(
            f"{model.name}/{model.version}",
            ", ".join(model.aliases),
            model.recipe,
            model.promoted_at or "",
            model.rolled_back_at or "",
        )
    console = Console(quiet=False, json_path=json_path)
    console.result(table if found else "the registry is empty; train a model: drillyard train fraud")
    write_json(json_path, [asdict(model) for model in found])


@app.command()
def show(ref: RefArgument, json_path: JsonOption = None) -> None:
    """Print a model's card.

    Example: drillyard models show fraud@champion
    """
    from drillyard.core.contract import ModelRef
    from pipelines import registry

    card = registry.read_card(ModelRef.parse(ref), settings())
    if json_path is None:
        Console(quiet=False, json_path=json_path).result(card.model_dump_json(indent=2))
    write_json(json_path, card)


@app.command()
def fetch(
    ref: RefArgument,
    folder: Annotated[Path, typer.Argument(help="Where to; made when it is missing.", file_okay=False)],
    json_path: JsonOption = None,
) -> None:
    """Copy a model's verified files (ONNX, card, samples) into a folder.

    Example: drillyard models fetch fraud@champion samples
    """
    import shutil

    from drillyard.core.contract import ModelRef
    from serving import artifact

    where = settings()
    found = artifact.fetch(ModelRef.parse(ref), tracking_uri=where.tracking_uri, cache=where.models)
    shutil.copytree(found.path, folder, dirs_exist_ok=True)
    Console(quiet=False, json_path=json_path).result(f"{found.ref} is in {folder}")
    write_json(json_path, found.ref)


@app.command()
def promote(
    ref: RefArgument,
    force: Annotated[bool, typer.Option(help="Promote even if the gate would refuse.")] = False,
    data_dir: DataDirOption = None,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Make a version champion, if it passes the gate against the present one.

    Example: drillyard models promote fraud/3
    """
    from drillyard.core.contract import ModelRef
    from pipelines import registry

    console = Console(quiet=quiet, json_path=json_path)
    found = registry.promote(ModelRef.parse(ref), settings(data_dir), force=force, say=console.say)
    words = f"{found.ref} is champion"
    if found.difference is not None:
        value, low, high = found.difference
        words += f"; {found.metric} {value:+.4f} against {found.previous} (95% interval {low:+.4f} to {high:+.4f})"
    console.result(words)
    write_json(json_path, asdict(found))


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="Registered model, such as fraud.")], json_path: JsonOption = None
) -> None:
    """Give the champion alias back to the version that had it before.

    Example: drillyard models rollback fraud
    """
    from pipelines import registry

    ref = registry.rollback(name, settings())
    Console(quiet=False, json_path=json_path).result(f"{ref} is champion again")
    write_json(json_path, ref)


@app.command()
def relog(
    run: Annotated[Path, typer.Argument(help="A run's folder under .drillyard/runs.", file_okay=False)],
    data_dir: DataDirOption = None,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Track and register a finished run that was kept because the tracking store was unreachable.

    Example: drillyard models relog .drillyard/runs/fraud-base-20261122-120000-000000
    """
    from pipelines import registry
    from pipelines.runfolder import RunFolder

    console = Console(quiet=quiet, json_path=json_path)
    where = settings(data_dir)
    ref = registry.publish(RunFolder.open(run), where, run_id=None)
    console.result(f"{ref} is registered")
    write_json(json_path, ref)
    registry.promote(ref, where, say=console.say)
    console.result(f"{ref} is champion")


@app.command()
def spoil(
    ref: RefArgument,
    how: Annotated[Literal["weights", "file"], typer.Option(help="Worse weights, or a damaged file as champion.")],
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Register a copy that is wrong on purpose, to drill what should stop it.

    Example: drillyard models spoil fraud --how weights
    """
    from drillyard.core.contract import ModelRef
    from pipelines.spoil import spoil as make

    found = make(ModelRef.parse(ref), settings(), how)
    Console(quiet=quiet, json_path=json_path).result(f"{found} is registered")
    write_json(json_path, found)
