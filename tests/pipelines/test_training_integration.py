"""Training on real Ray workers: a killed worker costs time, not the result; divergence stops at once."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from drillyard.core import processes
from drillyard.core.errors import TrainingFailed, UsageError
from drillyard.core.settings import Settings
from pipelines import shards, system, trainer
from pipelines.loop import Record
from pipelines.storage import Storage
from pipelines.system import Dataset, Recipe

pytestmark = pytest.mark.integration

EPOCHS = 25  # some seconds of training, so that a kill in the middle is in the middle


@pytest.fixture(scope="module")
def fraud() -> tuple[Recipe, Dataset]:
    recipe = system.get("fraud").recipe("smoke")
    return recipe, system.get("fraud").load(recipe.dataset, Settings.from_env({}))


def worker_pids() -> list[int]:
    """Ray names a worker process after the class it runs; two of our descendants are the training workers."""
    ours = psutil.Process().children(recursive=True)
    return [process.pid for process in ours if "TrainWorker" in " ".join(process.cmdline())]


@pytest.fixture(scope="module")
def undisturbed(ray_local: None, fraud: tuple[Recipe, Dataset], tmp_path_factory: pytest.TempPathFactory):
    recipe, data = fraud
    recipe = replace(recipe, train=replace(recipe.train, epochs=EPOCHS))
    return trainer.train(recipe, data, workers=2, folder=tmp_path_factory.mktemp("whole"))


def test_same_seed_and_workers_give_the_same_weights(undisturbed, fraud, tmp_path) -> None:
    recipe, data = fraud
    recipe = replace(recipe, train=replace(recipe.train, epochs=EPOCHS))
    again = trainer.train(recipe, data, workers=2, folder=tmp_path)
    assert again.restarts == 0
    assert all(torch.equal(undisturbed.weights[name], again.weights[name]) for name in again.weights)


def test_a_killed_worker_is_survived_with_the_same_result(undisturbed, fraud, tmp_path) -> None:
    recipe, data = fraud
    recipe = replace(recipe, train=replace(recipe.train, epochs=EPOCHS))
    killed: list[int] = []
    epochs: list[int] = []

    def kill_after_two_epochs(record: Record) -> None:
        epochs.append(record.epoch)
        if record.epoch >= 2 and record.validation_loss is not None and not killed:
            victims = worker_pids()
            assert len(victims) == 2
            killed.append(victims[-1])
            os.kill(victims[-1], signal.SIGKILL)

    found = trainer.train(recipe, data, workers=2, folder=tmp_path, on_record=kill_after_two_epochs)
    assert killed
    assert found.restarts == 1
    test = data.test.inputs["features"]
    assert _scores(recipe, data, found.weights, test) == pytest.approx(
        _scores(recipe, data, undisturbed.weights, test), rel=1e-3
    )


@pytest.fixture(scope="module")
def streamed(ray_local: None, fraud: tuple[Recipe, Dataset], tmp_path_factory: pytest.TempPathFactory):
    """The same rows as Parquet files, some to each worker, and a model trained from them."""
    recipe, data = fraud
    folder = tmp_path_factory.mktemp("shards")
    shards.write(data, "fraud", Storage.open("target", str(folder)), file_rows=300)
    loaded = shards.load(str(folder), "fraud")
    return loaded, trainer.train(recipe, loaded, workers=2, folder=tmp_path_factory.mktemp("streamed"))


def test_streaming_reaches_the_metric_of_training_in_memory(streamed, ray_local, fraud, tmp_path) -> None:
    recipe, data = fraud
    _, found = streamed
    in_memory = trainer.train(recipe, data, workers=2, folder=tmp_path)
    assert [record.total_steps for record in found.records[-1:]] == [in_memory.records[-1].total_steps]
    assert len([record for record in found.records if record.validation_loss is not None]) == recipe.train.epochs
    value, expected = (
        system.get("fraud").primary(
            {"score": _scores(recipe, data, each.weights, data.test.inputs["features"])}, data.test.truth
        )
        for each in (found, in_memory)
    )
    assert expected > 0.6  # or a model that learned nothing could pass
    assert value == pytest.approx(expected, abs=0.02)


def test_a_killed_worker_sees_the_same_stream_again(streamed, fraud, tmp_path) -> None:
    recipe, _ = fraud
    loaded, undisturbed = streamed
    killed: list[int] = []

    def kill_after_an_epoch(record: Record) -> None:
        if record.validation_loss is not None and not killed:
            killed.append(worker_pids()[-1])
            os.kill(killed[0], signal.SIGKILL)

    found = trainer.train(recipe, loaded, workers=2, folder=tmp_path, on_record=kill_after_an_epoch)
    assert found.restarts == 1
    test = loaded.test.inputs["features"]
    assert _scores(recipe, loaded, found.weights, test) == pytest.approx(
        _scores(recipe, loaded, undisturbed.weights, test), rel=1e-3
    )


def _scores(recipe: Recipe, data: Dataset, weights: dict[str, torch.Tensor], rows: np.ndarray) -> np.ndarray:
    model = recipe.model.build(data.labels)
    model.load_state_dict(weights)
    with torch.no_grad():
        return model.eval().serving()(torch.from_numpy(rows))[0].numpy()


def test_divergence_stops_without_a_restart(ray_local, fraud, tmp_path) -> None:
    recipe, data = fraud
    wild = replace(recipe, train=replace(recipe.train, optimizer="sgd", learning_rate=1e6))
    started: list[Record] = []
    with pytest.raises(TrainingFailed, match=r"not finite at step \d+ of \d+ .*learning rate"):
        trainer.train(wild, data, workers=2, folder=tmp_path, on_record=started.append)


def test_more_workers_than_cpus_are_refused_before_anything_starts(ray_local, fraud, tmp_path) -> None:
    recipe, data = fraud
    with pytest.raises(UsageError, match=r"workers=999 is not valid; expected 1 to \d+"):
        trainer.train(recipe, data, workers=999, folder=tmp_path)


def test_a_process_that_outlives_its_cluster_is_ended(tmp_path: Path) -> None:
    """Stands for a process of Ray that hangs while it exits, which happens now and then."""
    script = (
        "import os, subprocess, sys\n"
        "from drillyard.core.settings import Settings\n"
        "from pipelines.cluster import ray_cluster\n"
        "with ray_cluster(Settings.from_env(os.environ)):\n"
        "    print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)\n"
    )
    environment = {**os.environ, "DRILLYARD_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    # Gone, or a zombie that nobody has fetched yet.
    assert processes.start_time(int(done.stdout)) is None


def test_workers_start_from_a_checkout_whose_path_has_a_space(tmp_path: Path) -> None:
    (tmp_path / "my yard").symlink_to(sys.prefix)
    script = (
        "import os, sys, ray\n"
        "from drillyard.core.settings import Settings\n"
        "from pipelines.cluster import ray_cluster\n"
        "with ray_cluster(Settings.from_env(os.environ)):\n"
        "    work = ray.remote(lambda: sys.executable).options(runtime_env={'env_vars': {'LIKE': 'training'}})\n"
        "    print(ray.get(work.remote(), timeout=60))\n"
    )
    python = str(tmp_path / "my yard" / "bin" / "python")
    environment = {**os.environ, "DRILLYARD_HOME": str(tmp_path)}
    done = subprocess.run(
        [python, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == python, done.stderr
