"""What Prometheus gets of a running training."""

import urllib.request
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from drillyard.cli.console import Console
from drillyard.cli.train import run
from drillyard.core.ports import free_port
from pipelines import pipeline
from pipelines.exporter import ALL
from pipelines.loop import Record

FIRST = Record(
    step=5, total_steps=20, epoch=1, epochs=2, loss=0.75, learning_rate=0.01, samples_per_s=1200.0, elapsed_s=3.0
)


def scrape(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert all(sample.labels == {"system": "some", "recipe": "base"} for sample in samples)
    return {sample.name: sample.value for sample in samples}


def test_a_run_answers_with_its_last_record_and_keeps_the_validation_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    seen: list[dict[str, float]] = []

    def train(recipe: Any, where: Any, *, workers: int, listener: pipeline.Listener) -> str:
        seen.append(scrape(port))
        for record in (FIRST, replace(FIRST, step=10, validation_loss=0.5), replace(FIRST, step=12, epoch=2, loss=0.7)):
            listener.on_record(record)
            seen.append(scrape(port))
        return "outcome"

    monkeypatch.setattr(pipeline, "run", train)
    recipe = SimpleNamespace(system="some", name="base")
    assert run(recipe, None, 1, Console(quiet=True, json_path=None), port) == "outcome"
    before, first, at_the_end_of_an_epoch, last = seen
    assert before == {}
    assert first.keys() == {metric.name for metric in ALL} - {"drillyard_training_validation_loss"}
    assert first["drillyard_training_progress_ratio"] == 0.25
    assert first["drillyard_training_samples_per_second"] == 1200
    assert at_the_end_of_an_epoch["drillyard_training_validation_loss"] == 0.5
    assert last == {
        "drillyard_training_progress_ratio": 0.6,
        "drillyard_training_epoch": 2,
        "drillyard_training_loss": 0.7,
        "drillyard_training_validation_loss": 0.5,
        "drillyard_training_learning_rate": 0.01,
        "drillyard_training_samples_per_second": 1200,
        "drillyard_training_elapsed_seconds": 3,
    }
    with pytest.raises(OSError, match="refused"):
        scrape(port)
