"""`drillyard predict` and sharded data sets against a real S3 server, and a kill -9 in the middle of a run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from drillyard.core.errors import SourceError
from drillyard.core.settings import Settings
from pipelines import fragments, manifest, shards, system
from pipelines.storage import Storage
from tests.support import tiny_models
from tests.support.object_store import BUCKET, s3_server
from tests.support.tiny_models import FEATURES

pytestmark = pytest.mark.integration

FILES, FILE_ROWS = 60, 4000
DRILLYARD = [sys.executable, "-c", "from drillyard.cli import main; main()"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Iterator[dict[str, str]]:
    """Of a process with a registry of the tiny models and an S3 server."""
    home = tmp_path_factory.mktemp("home")
    uri = Settings.from_env({"DRILLYARD_HOME": str(home)}).tracking_uri
    tiny_models.register_both(uri, home / "source")
    with s3_server() as found, pytest.MonkeyPatch.context() as patch:
        for key, value in found.items():
            patch.setenv(key, value)
        # MLflow leaves the address of whatever store a test before has used in this process's environment.
        yield {**os.environ, "DRILLYARD_HOME": str(home), "MLFLOW_TRACKING_URI": uri}


@pytest.fixture(scope="module")
def source(environment) -> str:
    """Files of transactions in the bucket."""
    location = f"s3://{BUCKET}/transactions"
    store, rng = Storage.open("input", location), np.random.default_rng(0)
    for number in range(FILES):
        ids = np.arange(FILE_ROWS) + number * FILE_ROWS
        table = pa.table({"id": ids, **{name: rng.normal(size=FILE_ROWS).astype(np.float32) for name in FEATURES}})
        pq.write_table(table, store.path(f"{number:03}.parquet"), filesystem=store.filesystem)
    return location


def start(environment: dict[str, str], *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*DRILLYARD, "predict", "fraud", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill_an_actor(running: "subprocess.Popen[str]", store: Storage, there: int) -> None:
    """Once a part more is there. Ray Data starts another in its place."""
    deadline = time.monotonic() + 120
    while len(store.files()) <= there:
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    ours = psutil.Process(running.pid).children(recursive=True)
    lines = {process.pid: " ".join(process.cmdline()) for process in ours}
    actors = [
        pid for pid, line in lines.items() if line.startswith("ray::") and ("Scorer" in line or "MapWorker" in line)
    ]
    assert actors, lines
    os.kill(actors[0], signal.SIGKILL)


def test_a_run_that_was_killed_goes_on_and_every_row_is_scored_once(environment, source, tmp_path) -> None:
    output = f"s3://{BUCKET}/scores"
    words = ["--input", source, "--output", output, "--keep", "id"]
    store = Storage.open("output", output)
    running = start(environment, *words)
    deadline = time.monotonic() + 120
    while len(store.files(missing_ok=True)) < 3:
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)  # Ray's own processes too, as when the machine is taken away
    running.communicate()
    before = {file.name: file for file in store.files()}
    assert 3 <= len(before) < FILES

    again = start(environment, *words, "--json", str(tmp_path / "result.json"))
    kill_an_actor(again, store, there=len(before))
    said = again.communicate(timeout=150)
    assert again.returncode == 0, said[1]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["rows"] == FILES * FILE_ROWS
    assert result["parts"] == FILES
    assert len(before) <= result["parts_skipped"] < FILES
    assert result["rows_scored"] == (FILES - result["parts_skipped"]) * FILE_ROWS
    assert result["rows_per_s"] > 0
    after = {file.name: file for file in store.files()}
    assert {name: after[name] for name in before} == before  # what was there was left as it was
    found = pq.read_table(store.root, filesystem=store.filesystem)
    assert found["id"].to_pylist() == list(range(FILES * FILE_ROWS))
    assert found["score"].null_count == 0
    names = {info.base_name for info in store.filesystem.get_file_info(fs.FileSelector(store.root, recursive=True))}
    assert {manifest.MANIFEST, manifest.SUCCESS} <= names
    assert "_temporary" not in names

    third = start(environment, *words)  # nothing is left to do, which needs no Ray
    said = third.communicate(timeout=60)
    assert third.returncode == 0, said[1]
    assert "0 rows scored" in said[0]
    assert "starting Ray" not in said[1]


def test_another_version_is_refused_by_the_command(environment, source, tmp_path) -> None:
    """As when the champion has changed between a kill and the next try."""
    output = Storage.open("output", str(tmp_path / "out"))
    files = tuple(Storage.open("input", source).files())
    old = manifest.Manifest(
        model="fraud/7", onnx_sha256="0" * 64, input=source, outputs=("score",), keep=(), files=files, fragments=()
    )
    output.put(manifest.MANIFEST, lambda stream: stream.write(old.model_dump_json().encode()))
    words = ["--input", source, "--output", str(tmp_path / "out")]
    done = start(environment, *words)
    said = done.communicate(timeout=60)
    assert done.returncode == 2
    assert "fraud/1" in said[1]
    assert "this one has scores of fraud/7 (sha256 000000000000): name another, or go on with fraud/7" in said[1]
    assert "Traceback" not in said[1]


def test_an_input_that_is_not_there_is_one_line_and_its_code(environment, tmp_path) -> None:
    done = start(environment, "--input", f"s3://{BUCKET}/nothing-here", "--output", str(tmp_path / "out"))
    said = done.communicate(timeout=60)
    assert done.returncode == 4
    assert said[1].startswith(f"error: s3://{BUCKET}/nothing-here: ")
    assert "AWS_ENDPOINT_URL in the environment" in said[1]
    assert "Traceback" not in said[1]


def test_a_bucket_that_is_not_there_is_named(environment) -> None:
    with pytest.raises(SourceError, match="s3://no-such-bucket/data: "):
        fragments.footers(Storage.open("input", "s3://no-such-bucket/data"))


def test_a_data_set_goes_to_s3_and_comes_back(environment) -> None:
    data = system.get("fraud").load("synthetic-transactions", Settings.from_env({}))
    location = f"s3://{BUCKET}/fraud"
    shards.write(data, "fraud", Storage.open("target", location), file_rows=1000)
    found = system.get("fraud").load(location, Settings.from_env({}))
    np.testing.assert_array_equal(found.fit["features"], data.fit["features"])
    assert found.stream is not None
    assert found.stream.rows == len(data.fit["features"])
