"""A reference in the registry to a verified folder on this machine.

A model version's `source` is a folder with MODEL_FILE, CARD_FILE and SAMPLES_FILE. It is copied once into
`<cache>/<name>/<version>/`; every use verifies the copy's hashes again, so a damaged file is never served.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from drillyard.core.contract import CARD_FILE, MODEL_FILE, SAMPLES_FILE, ModelCard, ModelRef
from drillyard.core.errors import ArtifactRefused, ModelNotFound, ServiceUnreachable
from drillyard.core.settings import NO_TELEMETRY, Settings

# Beside the three: fraud/1 of another registry is another model, and must not be served in this one's place.
ORIGIN_FILE = "origin.txt"

# MLflow would retry for minutes; a server that is away should be named within seconds.
_MLFLOW_ENV = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


@dataclass(frozen=True, kw_only=True)
class LocalModel:
    """A verified copy of one model version: the folder, and the card in it."""

    path: Path
    card: ModelCard

    @property
    def ref(self) -> ModelRef:
        return ModelRef(name=self.card.name, version=self.card.version)


def fetch(ref: ModelRef, *, tracking_uri: str, cache: Path) -> LocalModel:
    """The verified copy of the model that `ref` means now.

    Raises ModelNotFound, ServiceUnreachable (the registry or its artifact store does not answer) and ArtifactRefused
    (the files are not what the card says). A version already in the cache needs no registry.
    """
    if ref.version is not None:
        folder = cache / ref.name / str(ref.version)
        if _origin(folder)[:1] == [tracking_uri]:
            return verify(folder, ref)
    version, source = _resolve(ref, tracking_uri)
    exact = ModelRef(name=ref.name, version=version)
    folder = cache / ref.name / str(version)
    if _origin(folder) != [tracking_uri, source]:
        shutil.rmtree(folder, ignore_errors=True)
        _download(exact, source, folder, tracking_uri)
    return verify(folder, exact)


def fetch_all(refs: Iterable[ModelRef], settings: Settings) -> tuple[LocalModel, ...]:
    """Each of them. Raises as `fetch` does."""
    return tuple(fetch(ref, tracking_uri=settings.tracking_uri, cache=settings.models) for ref in refs)


def verify(folder: Path, ref: ModelRef) -> LocalModel:
    """The folder as a LocalModel, if its files are the ones its card describes. Raises ArtifactRefused."""
    for name in (MODEL_FILE, CARD_FILE, SAMPLES_FILE):
        if not (folder / name).is_file():
            raise ArtifactRefused(str(ref), f"it holds no file {name}")
    try:
        card = ModelCard.model_validate_json((folder / CARD_FILE).read_bytes())
    except ValidationError as error:
        raise ArtifactRefused(str(ref), f"its {CARD_FILE} is not a model card: {error}") from None
    if (card.name, card.version) != (ref.name, ref.version):
        raise ArtifactRefused(str(ref), f"its card is for {card.name}/{card.version}")
    for name, expected in ((MODEL_FILE, card.onnx_sha256), (SAMPLES_FILE, card.samples_sha256)):
        actual = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if actual != expected:
            raise ArtifactRefused(str(ref), f"{name} has sha256 {actual}, its card says {expected}")
    return LocalModel(path=folder, card=card)


def _origin(folder: Path) -> list[str]:
    """Which registry and which folder the copy came from; empty when there is no copy."""
    try:
        return (folder / ORIGIN_FILE).read_text().splitlines()
    except FileNotFoundError:
        return []


def _resolve(ref: ModelRef, tracking_uri: str) -> tuple[int, str]:
    """The version number and the address of its folder."""
    for key, value in {**NO_TELEMETRY, **_MLFLOW_ENV}.items():
        os.environ.setdefault(key, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    if tracking_uri.startswith("sqlite:///") and not Path(tracking_uri.removeprefix("sqlite:///")).exists():
        raise ModelNotFound(str(ref), "nothing was trained here yet; run `drillyard train` first")  # and make no file
    try:
        client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        if ref.version is not None:
            entry = client.get_model_version(ref.name, str(ref.version))
        else:
            entry = client.get_model_version_by_alias(ref.name, ref.alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise ModelNotFound(str(ref), "see `drillyard models list` for those that are") from None
        raise ServiceUnreachable("MLflow", tracking_uri, f"it said: {error.message}") from None
    except SQLAlchemyError as error:
        raise ServiceUnreachable("MLflow", tracking_uri, f"its database said: {error}") from None
    return int(entry.version), str(entry.source)


def _download(ref: ModelRef, source: str, folder: Path, tracking_uri: str) -> None:
    """Copy the three files (and no other) beside the final place, verify, then rename: never half a model."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{ref.version}-", dir=folder.parent) as scratch:
        staged = Path(scratch) / "model"
        staged.mkdir()
        for name in (MODEL_FILE, CARD_FILE, SAMPLES_FILE):
            try:
                copy = download_artifacts(artifact_uri=f"{source.rstrip('/')}/{name}", dst_path=scratch)
                shutil.copyfile(copy, staged / name)
            except (MlflowException, OSError) as error:
                raise ArtifactRefused(str(ref), f"its file {name} cannot be had from {source}: {error}") from None
        verify(staged, ref)
        _verify_graph(staged, ref)
        (staged / ORIGIN_FILE).write_text(f"{tracking_uri}\n{source}\n")
        try:
            staged.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first, with the same verified files
                raise


def _verify_graph(folder: Path, ref: ModelRef) -> None:
    """Open the graph once before it enters the cache: what cannot be served is refused before anything is started."""
    from serving.graph import check_signature, open_session

    check_signature(open_session(folder / MODEL_FILE, threads=1, ref=ref), verify(folder, ref).card)
