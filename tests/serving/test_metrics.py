"""Counting in mapped files, merging over processes, and what a Prometheus makes of the result."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from serving import catalogue
from serving.cells import Metric, Store
from serving.engine import Engine
from serving.exposition import exposition, merged
from serving.metrics import FrontMetrics, ModelMetrics
from serving.predictor import Predictor
from serving.protocol.routes import ModelRoutes
from serving.recipes import Batching
from tests.serving.conftest import call_app
from tests.support.exposition import assert_promtool_accepts

COUNT_SOME = """
import os, pathlib, sys
from serving.metrics import ModelMetrics
m = ModelMetrics(pathlib.Path(sys.argv[1]), "fraud", 2)
for code in (200, 200, 400):
    m.end(m.begin(), code)
m.begin()
os.kill(os.getpid(), 9)
"""


def samples(folder: Path, metric: Metric) -> dict[tuple[str, ...], float]:
    """Sample by the name's ending and the label values in the metric's order."""
    found = {}
    for family in text_string_to_metric_families(exposition(folder).decode()):
        for sample in family.samples if family.name == metric.name else ():
            labels = tuple(sample.labels.get(name, "") for name in (*metric.labels, "le"))
            found[sample.name.removeprefix(metric.name), *labels] = sample.value
    return found


def seen(folder: Path, metric: Metric) -> dict[tuple[str, ...], float]:
    """Of the samples those that are not zero."""
    return {key: value for key, value in samples(folder, metric).items() if value}


def test_failures_are_counted_from_zero_on(tmp_path: Path) -> None:
    """Else the first of them would be a count that was never less, and a rate of nothing."""
    counting = ModelMetrics(tmp_path, "fraud", 1)
    counting.of(2, "challenger")
    codes = {(version, code) for _, _, version, _, code, _ in samples(tmp_path, catalogue.REQUESTS)}
    assert codes == {(version, code) for version in ("1", "2") for code in ("500", "503", "504")}
    assert seen(tmp_path, catalogue.REQUESTS) == {}


def test_counts_of_killed_processes_are_merged_and_their_gauges_are_gone(tmp_path: Path) -> None:
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", COUNT_SOME, str(tmp_path)], check=False, timeout=30)
        assert done.returncode == -9
    assert seen(tmp_path, catalogue.REQUESTS) == {
        ("_total", "fraud", "2", "champion", "200", ""): 4.0,
        ("_total", "fraud", "2", "champion", "400", ""): 2.0,
    }
    assert samples(tmp_path, catalogue.LATENCY)["_count", "fraud", "2", "champion", ""] == 6.0
    assert samples(tmp_path, catalogue.IN_FLIGHT) == {}


def test_many_ended_processes_leave_one_file_a_kind_and_no_count_is_lost(tmp_path: Path) -> None:
    """As after days of replaced replicas; one process still counts meanwhile."""
    alive = ModelMetrics(tmp_path, "fraud", 2)
    alive.end(alive.begin(), 200)
    of_ended = tmp_path / "ended"
    subprocess.run([sys.executable, "-c", COUNT_SOME, str(of_ended)], check=False, timeout=30)
    for i in range(20):  # process ids beyond the kernel's largest
        for file in of_ended.glob("*.db"):
            shutil.copy(file, tmp_path / f"{file.stem.rpartition('_')[0]}_{2**22 + 1 + i}.db")
    for _ in range(2):
        found = samples(tmp_path, catalogue.REQUESTS)
        assert found["_total", "fraud", "2", "champion", "200", ""] == 41.0
        assert samples(tmp_path, catalogue.LATENCY)["_count", "fraud", "2", "champion", ""] == 61.0
        assert samples(tmp_path, catalogue.LATENCY)["_bucket", "fraud", "2", "champion", "+Inf"] == 61.0
        assert samples(tmp_path, catalogue.IN_FLIGHT) == {("", "fraud", ""): 0.0}
    names = {file.name for file in tmp_path.glob("*.db")}
    assert len(names) == 2 + len(list(tmp_path.glob(f"*_{os.getpid()}.db"))), names
    alive.end(alive.begin(), 200)
    assert samples(tmp_path, catalogue.REQUESTS)["_total", "fraud", "2", "champion", "200", ""] == 42.0


def test_each_role_of_each_version_is_counted_apart(tmp_path: Path) -> None:
    counting = ModelMetrics(tmp_path, "fraud", 1)
    challenger = counting.of(2, "challenger")
    assert counting.of(2, "challenger") is challenger
    counting.end(counting.begin(), 200)
    began = counting.begin()
    challenger.takes()
    counting.end(began, 500)
    counting.end(counting.begin(), 200)  # the next request of the same task is not the challenger's
    challenger.inference(0.004, rows=3)
    challenger.queue_wait(0.02)
    began = counting.begin()
    requests = samples(tmp_path, catalogue.REQUESTS)
    assert requests["_total", "fraud", "1", "champion", "200", ""] == 2.0
    assert requests["_total", "fraud", "2", "challenger", "500", ""] == 1.0
    assert samples(tmp_path, catalogue.IN_FLIGHT) == {("", "fraud", ""): 1.0}
    counting.end(began, 200)
    assert samples(tmp_path, catalogue.IN_FLIGHT) == {("", "fraud", ""): 0.0}
    rows = samples(tmp_path, catalogue.BATCH_ROWS)
    assert rows["_sum", "fraud", "2", "challenger", ""] == 3.0
    assert (rows["_bucket", "fraud", "2", "challenger", "2.0"], rows["_bucket", "fraud", "2", "challenger", "4.0"]) == (
        0.0,
        1.0,
    )
    assert samples(tmp_path, catalogue.QUEUE_WAIT)["_sum", "fraud", "2", "challenger", ""] == 0.02


def test_what_never_met_a_model_is_counted(tmp_path: Path) -> None:
    counting = ModelMetrics(tmp_path / "replica", "fraud", 1)
    counting.shed("deadline")
    counting.shed("deadline")
    counting.compared(2, "disagree")
    assert samples(tmp_path / "replica", catalogue.SHED) == {("_total", "fraud", "deadline", ""): 2.0}
    assert samples(tmp_path / "replica", catalogue.COMPARISONS) == {("_total", "fraud", "2", "disagree", ""): 1.0}
    counting.refused(401)
    assert seen(tmp_path / "replica", catalogue.REQUESTS) == {("_total", "fraud", "", "", "401", ""): 1.0}
    front = FrontMetrics(tmp_path / "front")
    front.answered("none", 404)
    assert samples(tmp_path / "front", catalogue.FRONT_REQUESTS) == {("_total", "none", "404", ""): 1.0}


def test_a_request_is_counted_for_the_version_that_took_it(tmp_path: Path, predictors: dict[str, Predictor]) -> None:
    predictor = predictors["fraud"]
    counting = ModelMetrics(tmp_path, "fraud", 7)  # no version took it: counted for the champion
    routes = ModelRoutes(
        Engine(predictor, counting, Batching()), counting, max_body_bytes=10_000, max_rows=64, max_pixels=10_000
    )
    path = "/v2/models/fraud/infer"
    tensor = {"name": "features", "datatype": "FP32", "shape": [2, 29], "data": [0.0] * 58}
    assert call_app(routes, "POST", path, orjson.dumps({"inputs": [tensor]})).status == 200
    assert call_app(routes, "POST", path, b"{}").status == 400
    assert seen(tmp_path, catalogue.REQUESTS) == {
        ("_total", "fraud", "1", "champion", "200", ""): 1.0,
        ("_total", "fraud", "7", "champion", "400", ""): 1.0,
    }
    assert samples(tmp_path, catalogue.BATCH_ROWS)["_sum", "fraud", "1", "champion", ""] == 2.0
    assert samples(tmp_path, catalogue.QUEUE_WAIT)["_count", "fraud", "1", "champion", ""] == 1.0


@settings(derandomize=True, max_examples=20, deadline=None)
@given(values=st.lists(st.floats(0, 20) | st.sampled_from(catalogue.LATENCY.buckets), max_size=30))
def test_buckets_are_those_of_prometheus_client(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    folder = tmp_path_factory.mktemp("metrics")
    ours = Store(folder).buckets(catalogue.LATENCY, {})
    registry = CollectorRegistry()
    theirs = Histogram("x", "x", buckets=catalogue.LATENCY.buckets, registry=registry)
    for value in values:
        ours.observe(value)
        theirs.observe(value)
    (family,) = merged(folder)
    expected = by_ending(next(iter(registry.collect())))
    found = by_ending(family)
    expected.pop(("_created", None))
    assert found.keys() == expected.keys()
    assert all(math.isclose(found[key], expected[key]) for key in found)


def by_ending(family: Any) -> dict[tuple[str, str | None], float]:
    return {(s.name.removeprefix(family.name), s.labels.get("le")): s.value for s in family.samples}


def test_cells_made_before_their_file_grew_still_count(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.cell(catalogue.REQUESTS, {"model": "first"})
    cells = [store.cell(catalogue.REQUESTS, {"model": f"model-{i}"}) for i in range(1000)]
    assert next(tmp_path.glob("counter_*")).stat().st_size > 2**16, "more cells than the first page holds"
    for cell in (first, *cells):
        cell.add()
    assert set(samples(tmp_path, catalogue.REQUESTS).values()) == {1.0}
    assert len(samples(tmp_path, catalogue.REQUESTS)) == 1001


def test_a_restarted_process_with_the_same_id_goes_on_counting(tmp_path: Path) -> None:
    Store(tmp_path).cell(catalogue.REQUESTS, {"model": "m"}).add(2.0)
    again = Store(tmp_path).cell(catalogue.REQUESTS, {"model": "m"})
    again.add()
    assert again.get() == 3.0


def test_promtool_finds_no_fault(tmp_path: Path) -> None:
    counting = ModelMetrics(tmp_path, "fraud", 1)
    counting.end(counting.begin(), 200)
    counting.champion.inference(0.001, rows=1)
    counting.shed("client gone")
    counting.compared(1, "agree")
    assert_promtool_accepts(exposition(tmp_path).decode())
