"""`drillyard models backup` and `restore`: everything that a shared MLflow server keeps."""

from pathlib import Path
from typing import Annotated

import typer

from drillyard.cli.console import Console, JsonOption, QuietOption, write_json

FolderArgument = Annotated[Path, typer.Argument(help="Folder of the backup.", file_okay=False)]
DatabaseOption = Annotated[
    str, typer.Option(envvar="MLFLOW_BACKEND_STORE_URI", help="The server's database; say it in the environment.")
]
ArtifactsOption = Annotated[
    str, typer.Option(envvar="MLFLOW_ARTIFACTS_DESTINATION", help="The server's artifact store.")
]


def backup(
    folder: FolderArgument,
    database: DatabaseOption,
    artifacts: ArtifactsOption,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Save a shared MLflow server's database and artifacts, while it runs.

    Example: drillyard models backup backups/monday
    """
    from pipelines import backup as backups

    console = Console(quiet=quiet, json_path=json_path)
    saved = backups.backup(backups.Stores(database=database, artifacts=artifacts), folder, console.say)
    console.result(f"{len(saved)} model versions are saved in {folder}")
    write_json(json_path, saved)


def restore(
    folder: FolderArgument,
    database: DatabaseOption,
    artifacts: ArtifactsOption,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Put a backup into an empty database and an artifact store, and read every registered model back.

    Example: drillyard models restore backups/monday
    """
    from pipelines import backup as backups

    console = Console(quiet=quiet, json_path=json_path)
    found = backups.restore(backups.Stores(database=database, artifacts=artifacts), folder, console.say)
    console.result(f"{len(found)} model versions are restored and as they were saved")
    write_json(json_path, found)
