"""The one place that speaks MLflow tracking.

A run is written live while it trains and completed from its run folder. A store that dies on the way costs the live
view only: the folder holds everything, and `log` writes it again from there.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Self
from urllib.parse import urlparse

import mlflow
import mlflow.onnx
import numpy as np
import onnx
import requests
from mlflow.data.http_dataset_source import HTTPDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient
from mlflow.types import Schema, TensorSpec

from drillyard.core import budget, contract
from drillyard.core.errors import ServiceUnreachable, brief
from drillyard.core.settings import Settings
from drillyard.core.slo import DrillResult
from pipelines.loop import Record
from pipelines.runfolder import RunFolder

MODEL_ARTIFACT, PLOTS_ARTIFACT = "model", "plots"
EXISTS = "RESOURCE_ALREADY_EXISTS"  # what a store says to the second of two writers
DRILLS = "drills"  # the experiment of all drills
_FLUSH_S = 2.0
_SYSTEM_METRICS_S = 5.0
_NUMPY = {"FP32": np.float32, "FP64": np.float64, "UINT8": np.uint8, "INT64": np.int64, "BOOL": np.bool_}
# A dead server must fail in seconds, not after MLflow's default of seven retries with growing pauses.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}


def connect(settings: Settings) -> MlflowClient:
    """A client of the store that has just answered. Raises ServiceUnreachable, UsageError (home is read-only)."""
    for key, value in _PATIENCE.items():
        os.environ.setdefault(key, value)
    uri = settings.tracking_uri
    settings.make_home()  # MLflow would try again and again to open a database where none can be
    try:
        if urlparse(uri).scheme in ("http", "https"):
            requests.get(f"{uri.rstrip('/')}/health", timeout=5).raise_for_status()
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)
    except Exception as error:  # MLflow wraps driver, socket and HTTP errors of many kinds
        raise ServiceUnreachable(
            "the MLflow tracking store", uri, f"check MLFLOW_TRACKING_URI and start it ({brief(error)})"
        ) from error
    return client


def experiment(client: MlflowClient, name: str, settings: Settings) -> str:
    """The experiment's id; made when there is none, with artifacts under home when the store is the embedded one."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    embedded = settings.tracking_uri.startswith("sqlite")
    try:
        return client.create_experiment(name, artifact_location=settings.artifacts.as_uri() if embedded else None)
    except MlflowException as error:
        if error.error_code != EXISTS:
            raise
        return client.get_experiment_by_name(name).experiment_id  # another writer was first


class LiveRun:
    """An MLflow run that follows training. When the store dies it says so once and goes on without it."""

    def __init__(self, client: MlflowClient, run_id: str, say: Callable[[str], None]) -> None:
        self._client, self._say = client, say
        self.run_id: str | None = run_id
        self._waiting: list[Metric] = []
        self._flushed = time.monotonic()
        self._system = SystemMetricsMonitor(run_id, sampling_interval=_SYSTEM_METRICS_S)
        self._system.start()

    @classmethod
    def start(cls, folder: RunFolder, settings: Settings, say: Callable[[str], None]) -> Self:
        """Raises ServiceUnreachable: a run that cannot be tracked is not started."""
        client = connect(settings)
        return cls(client, _create_run(client, folder, settings), say)

    def log(self, record: Record) -> None:
        self._waiting += _metrics(record)
        if self.run_id is not None and time.monotonic() - self._flushed >= _FLUSH_S:
            self._flush()

    def stop(self) -> None:
        """End the live part: the last waiting metrics are written, the run is left to be completed by `log`."""
        if self.run_id is not None:
            self._flush()
        self._system.finish()

    def fail(self) -> None:
        """Say in the store that nothing will come of this run."""
        self.stop()
        if self.run_id is not None:
            self._client.set_terminated(self.run_id, "FAILED")

    def _flush(self) -> None:
        try:
            self._client.log_batch(self.run_id, metrics=self._waiting)
        except Exception as error:  # any failure of the store; training must not die of it
            self._say(f"tracking store lost ({brief(error)}); training goes on, the run is kept in its folder")
            self.run_id = None
        self._waiting, self._flushed = [], time.monotonic()


def log(folder: RunFolder, settings: Settings, run_id: str | None) -> tuple[str, str]:
    """Complete run `run_id` (or a new run) from the folder; returns its id and the model's artifact address."""
    client = connect(settings)
    card = folder.card
    if run_id is None:
        run_id = _create_run(client, folder, settings)
        _log_records(client, run_id, folder.records())
    now = int(time.time() * 1000)
    figures = [Metric(f"test/{name}", value, now, 0) for name, (value, _, _) in card.metrics.items()]
    tags = {"commit": card.commit, "dataset.sha256": card.dataset.sha256, "recipe": card.recipe}
    client.log_batch(run_id, metrics=figures, tags=[RunTag(key, value) for key, value in tags.items()])
    _log_lineage(client, run_id, card)
    for name in ("recipe.json", "evaluation.json"):
        client.log_artifact(run_id, str(folder.path / name))
    client.log_artifacts(run_id, str(folder.plots), PLOTS_ARTIFACT)
    _describe(folder)
    client.log_artifacts(run_id, str(folder.model), MODEL_ARTIFACT)
    client.set_terminated(run_id)
    return run_id, f"{client.get_run(run_id).info.artifact_uri}/{MODEL_ARTIFACT}"


def _create_run(client: MlflowClient, folder: RunFolder, settings: Settings) -> str:
    recipe = folder.recipe
    run = client.create_run(experiment(client, recipe["system"], settings), run_name=folder.path.name)
    client.log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in _params(recipe).items()])
    return str(run.info.run_id)


def log_drill(result: DrillResult, files: Sequence[Path], settings: Settings) -> str:
    """A drill as a run of the experiment `drills`, with its files; returns the run's id.

    The model version is named in the run's tags, and the version's tag `drill.NAME` names verdict and run. Raises
    ServiceUnreachable.
    """
    client = connect(settings)
    try:
        return _log_drill(client, result, files, settings)
    except Exception as error:  # MLflow wraps driver, socket and HTTP errors of many kinds
        raise ServiceUnreachable(
            "the MLflow tracking store", settings.tracking_uri, f"the drill could not be logged ({brief(error)})"
        ) from error


def _log_drill(client: MlflowClient, result: DrillResult, files: Sequence[Path], settings: Settings) -> str:
    plan, ref = result.plan, contract.ModelRef.parse(result.plan.model)
    tags = {
        "drill": plan.name,
        "verdict": str(result.verdict),
        "model": plan.model,
        "model.name": ref.name,
        "commit": result.commit,
        "machine": result.machine,
    }
    if plan.hypothesis is not None:
        tags["hypothesis_held"] = str(result.hypothesis_held)
    run = client.create_run(experiment(client, DRILLS, settings), run_name=f"{ref.name} {plan.name}", tags=tags)
    run_id = str(run.info.run_id)
    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in _params(plan.model_dump()).items()])
    _log_metrics(client, run_id, _drill_metrics(result))
    for path in files:
        client.log_artifact(run_id, str(path))
    client.set_terminated(run_id)
    if ref.version is not None:
        client.set_tag(run_id, "model.version", str(ref.version))
        client.set_model_version_tag(ref.name, str(ref.version), f"drill.{plan.name}", f"{result.verdict} {run_id}")
    return run_id


def _drill_metrics(result: DrillResult) -> list[Metric]:
    """The figures of the whole drill, and each second's."""
    now = int(time.time() * 1000)
    names = ("offered_rps", "goodput_rps", "requests", "errors", "late_sends")
    values = {name: getattr(result, name) for name in (*names, "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")}
    score = budget.of(result)
    if score is not None:
        values |= {"pages": score.pages, "false_pages": score.false_pages}
        values |= {f"budget_spent/{each.objective}": each.spent for each in score.objectives if each.spent is not None}
    quality = result.extra.get("quality") or {}
    values |= {f"quality/{name}": fmean(quality[name]) for name in ("answered", "precision", "missed") if quality}
    whole = [Metric(name, float(value), now, 0) for name, value in values.items()]
    columns = [(name, column) for name, column in result.series.items() if name != "t_s"]
    return whole + [Metric(f"second/{name}", y, now, t) for name, column in columns for t, y in enumerate(column)]


def _describe(folder: RunFolder) -> None:
    """MLflow's own description (MLmodel, signature, requirements) beside our files, so its tools can load the model."""
    described = folder.path / "mlmodel"
    if described.is_dir():
        return
    card = folder.card
    mlflow.onnx.save_model(
        onnx.load(str(folder.onnx)),
        str(described),
        signature=ModelSignature(inputs=_schema(card.inputs), outputs=_schema(card.outputs)),
        # Named here because inferring them starts a process that imports the model.
        pip_requirements=["mlflow", "onnx", "onnxruntime"],
        metadata={"card": contract.CARD_FILE},
    )
    for path in described.iterdir():
        if path.name != contract.MODEL_FILE:
            path.rename(folder.model / path.name)


def _schema(tensors: tuple[contract.TensorSpec, ...]) -> Schema:
    return Schema([TensorSpec(np.dtype(_NUMPY[tensor.dtype]), tensor.shape, tensor.name) for tensor in tensors])


def _log_lineage(client: MlflowClient, run_id: str, card: contract.ModelCard) -> None:
    """Another writer may name the same data set at the same moment; asked again, the store finds it there."""
    datasets = [_lineage(card)]
    try:
        client.log_inputs(run_id, datasets=datasets)
    except MlflowException as error:
        if "already exists" not in str(error):
            raise
        client.log_inputs(run_id, datasets=datasets)


def _lineage(card: contract.ModelCard) -> DatasetInput:
    digest = card.dataset.sha256[:36]  # the store's column is 36 wide; the whole sum is a tag of the run
    source = HTTPDatasetSource(f"drillyard:{card.dataset.name}")
    dataset = MetaDataset(source=source, name=card.dataset.name, digest=digest)
    return DatasetInput(dataset=dataset._to_mlflow_entity(), tags=[InputTag("mlflow.data.context", "training")])


def _log_records(client: MlflowClient, run_id: str, records: list[Record]) -> None:
    _log_metrics(client, run_id, [metric for record in records for metric in _metrics(record)])


def _log_metrics(client: MlflowClient, run_id: str, metrics: Sequence[Metric]) -> None:
    for start in range(0, len(metrics), 900):  # the store takes at most 1,000 a call
        client.log_batch(run_id, metrics=metrics[start : start + 900])


def _metrics(record: Record) -> list[Metric]:
    values = {
        "train/loss": record.loss,
        "train/learning_rate": record.learning_rate,
        "train/samples_per_s": record.samples_per_s,
        "validation/loss": record.validation_loss,
    }
    now = int(time.time() * 1000)
    return [Metric(key, value, now, record.step) for key, value in values.items() if value is not None]


def _params(recipe: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in recipe.items():
        flat |= _params(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def download_model(name: str, version: int, target: Path) -> Path:
    """The files of a registered version, in a folder under `target`."""
    return Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=str(target)))


def download_plots(run_id: str, target: Path) -> Path:
    """The plots of a tracked run, in a folder under `target`."""
    return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=PLOTS_ARTIFACT, dst_path=str(target)))
