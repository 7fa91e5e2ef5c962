"""Backup and restore of a shared registry: MLflow's PostgreSQL database, and the artifacts that it points to.

The database is dumped first: a run's files lie in the artifact store before a model version names them, so whatever
the dump holds is there when the files are copied. Both work below MLflow's own schema, so that a database can be saved
before `mlflow db upgrade` touches it.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pooch
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from drillyard.core import programs
from drillyard.core.errors import DrillyardError, ServiceUnreachable, UsageError, brief

DUMP, ARTIFACTS, INVENTORY = "registry.dump", "artifacts", "inventory.json"
_PROXIED = "mlflow-artifacts:/"  # how a run's address begins when the server keeps its files
_VERSIONS = "SELECT name, version, source FROM model_versions WHERE current_stage <> 'Deleted_Internal'"
_ALIASES = "SELECT name, alias, version FROM registered_model_aliases"

Inventory = dict[str, dict[str, Any]]  # NAME/VERSION -> its aliases, and the sha256 of each of its files
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Where MLflow's server keeps everything. Raises UsageError."""

    database: str  # its --backend-store-uri
    artifacts: str  # its --artifacts-destination

    def __post_init__(self) -> None:
        if not self.database.startswith("postgresql"):
            shown = self.database.partition(":")[0] + ":..."  # it may hold a password
            raise UsageError("MLFLOW_BACKEND_STORE_URI", shown, "postgresql://...; of SQLite, copy the folder")
        if "://" not in self.artifacts:
            raise UsageError("MLFLOW_ARTIFACTS_DESTINATION", self.artifacts, "s3://BUCKET, or another store of MLflow")

    @property
    def repository(self) -> ArtifactRepository:
        return get_artifact_repository(self.artifacts)


def backup(stores: Stores, folder: Path, say: Say = lambda _: None) -> Inventory:
    """Save everything in a new folder; what it holds of registered models.

    `inventory.json` is written last: without it the backup is not whole. Raises UsageError (the folder is not empty),
    ProgramMissing, ServiceUnreachable, and DrillyardError when a registered model's files are not there to be saved.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError("folder", str(folder), "one that is new or empty")
    artifacts = folder / ARTIFACTS
    artifacts.mkdir(parents=True)
    listed = _listed(stores)  # before the dump, which then has all of them
    say("saving the database")
    _postgres("pg_dump", stores, "--format=custom", "--no-owner", f"--file={folder / DUMP}")
    say("saving the artifacts")
    stores.repository.download_artifacts("", dst_path=str(artifacts))
    found = _inventory(listed, artifacts)
    (folder / INVENTORY).write_text(json.dumps(found, indent=2) + "\n")
    return found


def restore(stores: Stores, folder: Path, say: Say = lambda _: None) -> Inventory:
    """Put a backup into an empty database and the artifact store, and read every registered model back.

    Raises UsageError (no whole backup), ProgramMissing, ServiceUnreachable, and DrillyardError when the database is not
    empty (it is left as it was), or a model is not as it was saved.
    """
    try:
        saved: Inventory = json.loads((folder / INVENTORY).read_text())
    except FileNotFoundError:
        raise UsageError("folder", str(folder), f"a whole backup, which holds {INVENTORY}") from None
    say("restoring the database")
    _postgres("pg_restore", stores, "--exit-on-error", "--single-transaction", "--no-owner", str(folder / DUMP))
    say("restoring the artifacts")
    stores.repository.log_artifacts(str(folder / ARTIFACTS))
    say("reading every registered model back")
    listed = _listed(stores)
    with tempfile.TemporaryDirectory() as scratch:
        for model in listed.values():
            stores.repository.download_artifacts(model["path"], dst_path=scratch)
        found = _inventory(listed, Path(scratch))
    wrong = [name for name in saved if found.get(name) != saved[name]]
    if wrong:
        raise DrillyardError(f"not as they were saved: {', '.join(wrong)}")
    return found


def _listed(stores: Stores) -> Inventory:
    """Every registered version: its aliases, and where its files lie below the artifact store."""
    try:
        with create_engine(stores.database, poolclass=NullPool).connect() as connection:
            versions = connection.execute(text(_VERSIONS)).all()
            aliases = connection.execute(text(_ALIASES)).all()
    except Exception as error:  # the driver's errors are of many kinds
        raise ServiceUnreachable("MLflow's database", _shown(stores), brief(error)) from None
    listed: Inventory = {}
    for name, version, source in versions:
        if not source.startswith(_PROXIED):
            raise DrillyardError(f"{name}/{version} lies at {source}, outside the server's own artifact store")
        named = sorted(alias for of, alias, at in aliases if (of, at) == (name, version))
        listed[f"{name}/{version}"] = {"aliases": named, "path": source.removeprefix(_PROXIED).lstrip("/")}
    return listed


def _inventory(listed: Inventory, artifacts: Path) -> Inventory:
    """What a copy of the artifact store holds of these models. Raises DrillyardError for one without files."""
    found: Inventory = {}
    for name, model in sorted(listed.items()):
        folder = artifacts / model["path"]
        files = {
            str(path.relative_to(folder)): pooch.file_hash(str(path))
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        if not files:
            raise DrillyardError(f"{name} has no files at {model['path']} in the artifact store")
        found[name] = {**model, "files": files}
    return found


def _postgres(program: str, stores: Stores, *arguments: str) -> None:
    """One of PostgreSQL's own programs on the database; its password travels in the environment."""
    url = make_url(stores.database)
    address = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    environment = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    command = [programs.find(program, "postgresql-client"), *arguments, f"--dbname={address}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DrillyardError(f"{program} on {_shown(stores)} said: {done.stderr.strip()}")


def _shown(stores: Stores) -> str:
    return make_url(stores.database).render_as_string(hide_password=True)
