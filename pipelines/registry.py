"""The model registry: publish a run, put a challenger to the gate, move the champion alias, roll back."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pooch
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from drillyard.core.contract import (
    CARD_FILE,
    CHALLENGER,
    CHAMPION,
    MODEL_FILE,
    Interval,
    ModelCard,
    ModelRef,
)
from drillyard.core.errors import ArtifactRefused, GateRefused, ModelNotFound, ServiceUnreachable, UsageError
from drillyard.core.settings import Settings
from pipelines import system, tracking
from pipelines.graph import predictor
from pipelines.intervals import difference
from pipelines.runfolder import RunFolder

_PROMOTED, _ROLLED_BACK = "promoted_at", "rolled_back_at"
_ABSENT = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}  # what stores say of an alias that is not there


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One line of `drillyard models list`."""

    name: str
    version: int
    aliases: tuple[str, ...]
    promoted_at: str | None
    rolled_back_at: str | None
    run_id: str | None
    recipe: str


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """What the gate found."""

    ref: ModelRef
    metric: str
    previous: ModelRef | None
    difference: Interval | None  # challenger - champion on the challenger's test slice; None without a champion


def publish(folder: RunFolder, settings: Settings, run_id: str | None) -> ModelRef:
    """Track the run, register its model and make it the challenger.

    Raises ServiceUnreachable with the words to try again by; a failure leaves the folder as it was. A folder that was
    published already keeps the version it has.
    """
    if folder.card.version:
        return ModelRef(name=folder.card.name, version=folder.card.version)
    try:
        return _publish(folder, settings, run_id)
    except Exception as error:  # MLflow wraps driver, socket and HTTP errors of many kinds
        raise ServiceUnreachable(
            "the MLflow tracking store",
            settings.tracking_uri,
            f"nothing is lost: run `drillyard models relog {folder.path}` when it is back ({error})",
        ) from error


def _publish(folder: RunFolder, settings: Settings, run_id: str | None) -> ModelRef:
    run_id, source = tracking.log(folder, settings, run_id)
    client = tracking.connect(settings)
    card = folder.card
    _ensure(client, card.name)
    version = int(client.create_model_version(card.name, source=source, run_id=run_id).version)
    # The number is known only now; until its card names it, the version has no alias and is not served.
    complete = card.model_copy(update={"version": version, "run_id": run_id})
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / CARD_FILE
        path.write_text(complete.model_dump_json(indent=2) + "\n")
        client.log_artifact(run_id, str(path), tracking.MODEL_ARTIFACT)
    client.set_model_version_tag(card.name, str(version), "recipe", card.recipe)
    client.set_registered_model_alias(card.name, CHALLENGER, str(version))
    folder.write_card(complete)  # last: the folder says it is published only when it is
    return ModelRef(name=card.name, version=version)


def promote(
    ref: ModelRef,
    settings: Settings,
    *,
    force: bool = False,
    test: system.Split | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Promotion:
    """Make the version champion if it passes the gate against the present one.

    `test` is its own test slice, where that is at hand; else it is loaded by the name on its card. Raises GateRefused,
    ModelNotFound.
    """
    client = tracking.connect(settings)
    challenger = resolve(client, ref)
    champion = _alias(client, ref.name, CHAMPION)
    metric = system.get(ref.name).primary_metric
    found: Interval | None = None
    if champion is not None and champion != challenger and not force:
        say(f"gate: {challenger} against the champion {champion}")
        found = _compare(challenger, champion, settings, test, say)
        _, low, high = found
        if high < 0:
            raise GateRefused(
                f"{challenger} is worse than the champion {champion} on the same test slice: {metric} "
                f"{found[0]:+.4f} (95% interval {low:+.4f} to {high:+.4f}); it stays challenger"
            )
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    client.set_model_version_tag(ref.name, str(challenger.version), _PROMOTED, now)
    client.set_registered_model_alias(ref.name, CHAMPION, str(challenger.version))
    return Promotion(ref=challenger, metric=metric, previous=champion, difference=found)


def rollback(name: str, settings: Settings) -> ModelRef:
    """Give the champion alias back to the version that had it before. Raises UsageError when there is none."""
    client = tracking.connect(settings)
    current = resolve(client, ModelRef(name=name, alias=CHAMPION))
    earlier = [
        model
        for model in versions(settings, name)
        if model.promoted_at and model.version != current.version and (model.rolled_back_at or "") < model.promoted_at
    ]
    if not earlier:
        raise UsageError("model", name, "a model with an earlier champion to go back to")
    chosen = max(earlier, key=lambda model: model.promoted_at or "")
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    client.set_model_version_tag(name, str(current.version), _ROLLED_BACK, now)
    client.set_registered_model_alias(name, CHAMPION, str(chosen.version))
    return ModelRef(name=name, version=chosen.version)


def versions(settings: Settings, name: str | None = None) -> list[ModelVersion]:
    """Every registered version, newest first within a model."""
    client = tracking.connect(settings)
    found = []
    for model in _all_pages(client.search_registered_models):
        if name not in (None, model.name):
            continue
        for version in _all_pages(client.search_model_versions, f"name='{model.name}'"):
            number = int(version.version)
            aliases = tuple(alias for alias, at in model.aliases.items() if int(at) == number)
            found.append(
                ModelVersion(
                    name=model.name,
                    version=number,
                    aliases=aliases,
                    promoted_at=version.tags.get(_PROMOTED),
                    rolled_back_at=version.tags.get(_ROLLED_BACK),
                    run_id=version.run_id,
                    recipe=version.tags.get("recipe", ""),
                )
            )
    return sorted(found, key=lambda model: (model.name, -model.version))


def resolve(client: MlflowClient, ref: ModelRef) -> ModelRef:
    """The same model by version number. Raises ModelNotFound."""
    if ref.version is None:
        found = _alias(client, ref.name, ref.alias or CHAMPION)
        if found is None:
            raise ModelNotFound(str(ref), f"train one: drillyard train {ref.name}")
        return found
    try:
        client.get_model_version(ref.name, str(ref.version))
    except MlflowException as error:
        raise ModelNotFound(str(ref), "see what there is: drillyard models list") from error
    return ref


def read_card(ref: ModelRef, settings: Settings) -> ModelCard:
    """The card of a registered version."""
    return read(ref, settings)[0]


def read(ref: ModelRef, settings: Settings) -> tuple[ModelCard, bytes]:
    """The card of a registered version, and its verified ONNX file. Raises ModelNotFound, ArtifactRefused."""
    with tempfile.TemporaryDirectory() as name:
        path, card = _fetch(resolve(tracking.connect(settings), ref), Path(name))
        return card, path.read_bytes()


def _compare(
    challenger: ModelRef,
    champion: ModelRef,
    settings: Settings,
    test: system.Split | None,
    say: Callable[[str], None],
) -> Interval:
    """Difference of the primary metric on the challenger's own test slice."""
    with tempfile.TemporaryDirectory() as name:
        new_path, new_card = _fetch(challenger, Path(name) / "challenger")
        old_path, old_card = _fetch(champion, Path(name) / "champion")
        if new_card.dataset != old_card.dataset:
            raise GateRefused(
                f"{challenger} (data set {new_card.dataset.name}) and the champion {champion} (data set "
                f"{old_card.dataset.name}) were trained on other data, which no slice can settle; to switch, run "
                f"`drillyard models promote {challenger} --force`"
            )
        the_system = system.get(challenger.name)
        if test is None:
            test = _test_slice(the_system, new_card.dataset.name, settings, say)
        outputs = [predictor(path)(test.inputs) for path in (new_path, old_path)]
        return difference(the_system.primary, outputs[0], outputs[1], test.truth)


def _test_slice(
    the_system: system.System, dataset: str, settings: Settings, say: Callable[[str], None]
) -> system.Split:
    try:
        return the_system.load(dataset, settings, say).test
    except UsageError as error:
        raise GateRefused(
            f"the data set {dataset} cannot be loaded by its name: {error}; it was compared when it was trained, and "
            f"`--force` promotes without"
        ) from None


def _fetch(ref: ModelRef, target: Path) -> tuple[Path, ModelCard]:
    if ref.version is None:
        raise ModelNotFound(str(ref), "name it by version")
    target.mkdir(parents=True, exist_ok=True)
    folder = tracking.download_model(ref.name, ref.version, target)
    card = ModelCard.model_validate_json((folder / CARD_FILE).read_text())
    if pooch.file_hash(str(folder / MODEL_FILE)) != card.onnx_sha256:
        raise ArtifactRefused(str(ref), f"{MODEL_FILE} is not the file its card describes")
    return folder / MODEL_FILE, card


def _all_pages(search: Callable[..., Any], filter_string: str | None = None) -> Iterator[Any]:
    """Everything a registry search finds; it answers in pages."""
    token = None
    while True:
        page = search(filter_string=filter_string, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _ensure(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != tracking.EXISTS:
            raise


def _alias(client: MlflowClient, name: str, alias: str) -> ModelRef | None:
    try:
        version: Any = client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise  # a store in trouble must not look like a registry without a champion
        return None
    return ModelRef(name=name, version=int(version.version))
