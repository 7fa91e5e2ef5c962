"""MLflow on PostgreSQL and an S3 API: many writers, an older schema, a backup that loses nothing, a clean end."""

import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
from alembic import command
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import _get_alembic_config, _get_latest_schema_revision
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase
from mlflow.tracking import MlflowClient
from sqlalchemy import create_engine, text
from typer.testing import CliRunner

from drillyard.cli.app import app
from drillyard.core.contract import CHALLENGER, CHAMPION, ModelCard, ModelRef
from pipelines import registry, system, tracking
from pipelines.loop import Record
from pipelines.runfolder import RunFolder
from pipelines.system import Evaluation
from serving.artifact import fetch
from tests.stores.conftest import LiveStack
from tests.support import tiny_models

pytestmark = pytest.mark.integration

WRITERS, RUNS, EPOCHS = 4, 8, 30
MLFLOW_2_3 = "3500859a5d39"  # its revision of the schema, the first with aliases


def finished_run(folder: Path, seed: int) -> RunFolder:
    """A run as training leaves it, of a model that differs from seed to seed."""
    run = RunFolder.create(folder, system.get("fraud").recipe("smoke"))
    card = tiny_models.write_fraud(run.model, version=seed, threshold=0.5 + seed / 100)
    run.write_card(card.model_copy(update={"version": 0}))
    run.write_evaluation(Evaluation(metrics=card.metrics, baselines=card.baselines))
    for epoch in range(1, EPOCHS + 1):
        numbers = {"step": epoch, "total_steps": EPOCHS, "epoch": epoch, "epochs": EPOCHS}
        run.append(
            Record(**numbers, loss=1 / epoch, learning_rate=0.1, samples_per_s=seed, elapsed_s=epoch, validation_loss=1)
        )
    return run


@pytest.fixture(scope="module")
def published(stack: LiveStack, tmp_path_factory: pytest.TempPathFactory) -> dict[ModelRef, ModelCard]:
    """Models that were registered by several writers at once; the first two runs race for experiment and name too."""
    folder = tmp_path_factory.mktemp("runs")
    runs = [finished_run(folder / str(seed), seed) for seed in range(1, RUNS + 1)]
    with ThreadPoolExecutor(WRITERS) as pool:
        refs = pool.map(lambda run: registry.publish(run, stack.settings, run_id=None), runs)
        found = {ref: run.card for ref, run in zip(refs, runs, strict=True)}
    registry.promote(ModelRef(name="fraud", version=1), stack.settings, force=True)
    return found


def test_writers_at_once_lose_nothing(stack: LiveStack, published: dict[ModelRef, ModelCard]) -> None:
    assert sorted(ref.version or 0 for ref in published) == list(range(1, RUNS + 1))
    client = tracking.connect(stack.settings)
    for ref, card in published.items():
        assert registry.read_card(ref, stack.settings) == card  # it compares the file's hash with the card's too
        history = client.get_metric_history(card.run_id, "train/loss")
        assert sorted(metric.step for metric in history) == list(range(1, EPOCHS + 1))
        assert client.get_run(card.run_id).info.artifact_uri.startswith("mlflow-artifacts:/")
    assert len({card.onnx_sha256 for card in published.values()}) == RUNS
    aliases = [alias for model in registry.versions(stack.settings) for alias in model.aliases]
    assert sorted(aliases) == [CHALLENGER, CHAMPION]


def test_serving_gets_the_champion_with_nothing_but_the_servers_address(stack, published, monkeypatch) -> None:
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "MLFLOW_S3_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    where = stack.settings
    champion = fetch(ModelRef(name="fraud", alias=CHAMPION), tracking_uri=where.tracking_uri, cache=where.models)
    assert champion.card == published[ModelRef(name="fraud", version=1)]


@pytest.fixture
def older(stack: LiveStack, published: dict[ModelRef, ModelCard]) -> Iterator[str]:
    """A database as MLflow 2.3 made it, with a registered model that has files and an alias."""
    source = tracking.connect(stack.settings).get_model_version("fraud", "1").source
    administer(stack, "CREATE DATABASE older")
    uri = stack.environment["MLFLOW_BACKEND_STORE_URI"].replace("/mlflow?", "/older?")
    InitialBase.metadata.create_all(engine := create_engine(uri))
    command.upgrade(_get_alembic_config(uri), MLFLOW_2_3)
    with engine.begin() as connection:
        for row in (
            "INSERT INTO registered_models (name, creation_time, last_updated_time) VALUES ('fraud', 1, 1)",
            "INSERT INTO model_versions"
            " (name, version, creation_time, last_updated_time, source, current_stage, status)"
            f" VALUES ('fraud', 3, 1, 1, '{source}', 'None', 'READY')",
            f"INSERT INTO registered_model_aliases (name, alias, version) VALUES ('fraud', '{CHAMPION}', 3)",
        ):
            connection.execute(text(row))
    engine.dispose()
    yield uri
    administer(stack, "DROP DATABASE older WITH (FORCE)")


def test_an_older_schema_is_saved_as_it_is_and_upgraded_with_its_models(stack, older, tmp_path) -> None:
    environment = {**stack.environment, "MLFLOW_BACKEND_STORE_URI": older}
    saved = CliRunner().invoke(app, ["models", "backup", str(tmp_path)], env=environment)
    assert saved.exit_code == 0, saved.output
    assert list(json.loads((tmp_path / "inventory.json").read_text())) == ["fraud/3"]
    assert revision(older) == MLFLOW_2_3

    upgrade = [sys.executable, "-m", "mlflow", "db", "upgrade", older]
    subprocess.run(upgrade, check=True, capture_output=True, timeout=120)
    assert revision(older) == _get_latest_schema_revision()
    client = MlflowClient(older, older)
    kept = client.get_model_version_by_alias("fraud", CHAMPION)
    assert int(kept.version) == 3
    assert int(client.create_model_version("fraud", source=kept.source).version) == 4


def test_a_backup_brings_back_every_registered_model(stack, published, tmp_path) -> None:
    before = registry.versions(stack.settings)
    run = CliRunner()
    saved = run.invoke(app, ["models", "backup", str(tmp_path / "backup")], env=stack.environment)
    assert saved.exit_code == 0, saved.output
    assert f"{RUNS} model versions are saved" in saved.output

    lose_everything(stack)
    with pytest.raises(MlflowException):
        MlflowClient(stack.settings.tracking_uri).search_registered_models()

    restored = run.invoke(app, ["models", "restore", str(tmp_path / "backup")], env=stack.environment)
    assert restored.exit_code == 0, restored.output
    assert registry.versions(stack.settings) == before
    for ref, card in published.items():
        assert registry.read_card(ref, stack.settings) == card
    assert registry.publish(finished_run(tmp_path / "next", RUNS + 1), stack.settings, run_id=None).version == RUNS + 1

    again = run.invoke(app, ["models", "restore", str(tmp_path / "backup")], env=stack.environment)
    assert again.exit_code != 0
    assert "already exists" in str(again.exception)
    assert len(registry.versions(stack.settings)) == RUNS + 1


def test_a_backup_says_which_model_has_lost_its_files(stack, published, tmp_path) -> None:
    client = tracking.connect(stack.settings)
    run = client.create_run(tracking.experiment(client, "fraud", stack.settings))
    client.create_registered_model("empty")
    client.create_model_version("empty", source=f"{run.info.artifact_uri}/model", run_id=run.info.run_id)
    try:
        saved = CliRunner().invoke(app, ["models", "backup", str(tmp_path)], env=stack.environment)
        assert "empty/1 has no files at " in str(saved.exception)
        unusable = CliRunner().invoke(app, ["models", "restore", str(tmp_path)], env=stack.environment)
        assert "a whole backup, which holds inventory.json" in str(unusable.exception)
    finally:
        client.delete_registered_model("empty")


def test_redis_lets_in_who_holds_the_key_and_nobody_else(stack: LiveStack) -> None:
    ray = stack.ray_environment
    address = urlsplit(ray["RAY_REDIS_ADDRESS"])
    assert (address.scheme, address.hostname) == ("rediss", "127.0.0.1")

    def ask(client: ssl.SSLContext) -> bytes:
        client.check_hostname = False
        try:
            plain = socket.create_connection(("127.0.0.1", address.port or 0), timeout=5)
            with plain, client.wrap_socket(plain) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16)
        except OSError as refusal:
            return str(refusal).encode()

    stranger = ssl.create_default_context(cafile=ray["RAY_REDIS_CA_CERT"])
    assert b"PONG" not in ask(stranger)
    holder = ssl.create_default_context(cafile=ray["RAY_REDIS_CA_CERT"])
    holder.load_cert_chain(ray["RAY_REDIS_CLIENT_CERT"], ray["RAY_REDIS_CLIENT_KEY"])
    assert ask(holder) == b"+PONG\r\n"


def test_no_secret_is_on_a_command_line_or_in_a_log(stack: LiveStack) -> None:
    password = (stack.home / "stack" / "pgpass").read_text().strip().rpartition(":")[2]
    key = (stack.home / "stack" / "s3" / "credentials").read_text().strip().rpartition(" ")[2]
    assert min(len(password), len(key)) > 30
    shown = [stack.output, *(stack.home / "stack").glob("*/*.log")]
    assert len(shown) == 5
    texts = [path.read_bytes() for path in shown]
    texts += [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in stack.processes()]
    assert not [text for text in texts for secret in (password, key) if secret.encode() in text]
    readable = [path for path in (stack.home / "stack").rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert not [path for path in readable if {password.encode(), key.encode()} & set(path.read_bytes().split())]


def test_the_end_leaves_nothing_behind_and_the_next_start_has_everything(stack, published) -> None:
    """Last: it ends the stack, by Ctrl-C and then hard, and starts it again in between."""
    before = registry.versions(stack.settings)
    assert stack.end(signal.SIGINT) == 0
    assert stack.processes() == []
    stack.start()
    assert registry.versions(stack.settings) == before
    ref, card = next(iter(published.items()))
    assert registry.read_card(ref, stack.settings) == card

    stack.end(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while stack.processes() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert stack.processes() == []


def revision(uri: str) -> str:
    """Of the schema."""
    engine = create_engine(uri)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    engine.dispose()
    return str(found)


def administer(stack: LiveStack, statement: str) -> None:
    """What no transaction may do."""
    uri = stack.environment["MLFLOW_BACKEND_STORE_URI"].replace("/mlflow?", "/postgres?")
    engine = create_engine(uri, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def lose_everything(stack: LiveStack) -> None:
    """The disks of the database and of the artifact store are gone; new, empty ones take their place."""
    administer(stack, "DROP DATABASE mlflow WITH (FORCE)")
    administer(stack, "CREATE DATABASE mlflow")
    session = boto3.session.Session()
    lines = Path(stack.environment["AWS_SHARED_CREDENTIALS_FILE"]).read_text().splitlines()[1:]
    credentials = dict(line.split(" = ") for line in lines)
    url = stack.environment["MLFLOW_S3_ENDPOINT_URL"]
    store = session.resource("s3", endpoint_url=url, region_name="us-east-1", **credentials)
    store.Bucket("mlflow").objects.all().delete()
    assert list(store.Bucket("mlflow").objects.all()) == []
