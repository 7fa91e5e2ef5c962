"""What Prometheus gets of a running drill."""

import re
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from prometheus_client.parser import text_string_to_metric_families

from drillyard.cli.scraped import scraped
from drillyard.core.errors import UsageError
from drillyard.core.ports import free_port
from loadtests.generator.exporter import ALL, Exporter
from loadtests.generator.progress import LATENCY_BOUNDS_S, Progress
from loadtests.generator.recorder import Recorder
from loadtests.launch import run_drill
from tests.loadtests.support.builders import make_plan
from tests.support.exposition import assert_promtool_accepts


@contextmanager
def exported(drill: str, model: str, port: int | None) -> Iterator[Exporter]:
    """As `drillyard drill run --metrics-port` does it."""
    exporter = Exporter(drill, model)
    with scraped(exporter, port):
        yield exporter


def progress(**changes: object) -> Progress:
    counts = (*range(10, 10 + len(LATENCY_BOUNDS_S)), 30)
    line = Progress(
        phase="drill",
        t_s=3.0,
        duration_s=10.0,
        sent=41,
        ok=30,
        errors=4,
        slow=2,
        rate_rps=10.0,
        p99_ms=12.0,
        latency_counts=counts,
        latency_sum_s=0.6,
        budget_left=-0.5,
    )
    return line.model_copy(update=changes)


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return answer.read().decode()


def figures(text: str) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            rest = {k: v for k, v in sample.labels.items() if k not in ("drill", "model")}
            found[sample.name + "".join(f" {k}={v}" for k, v in sorted(rest.items()))] = sample.value
    return found


def test_a_scrape_has_every_documented_figure_and_nothing_else() -> None:
    port = free_port()
    with exported("spike", "fraud/1", port) as exporter:
        exporter.follow(progress(phase="warm-up"))
        assert scrape(port) == ""
        exporter.follow(progress())
        text = scrape(port)
    assert re.search(r'drillyard_drill_sent_total{drill="spike",model="fraud/1"} 41', text)
    found = figures(text)
    names = {"requests_total outcome=ok": 28, "requests_total outcome=slow": 2, "requests_total outcome=error": 4}
    names |= {"latency_seconds_bucket le=0.001": 10, "latency_seconds_bucket le=+Inf": 30, "latency_seconds_sum": 0.6}
    names |= {"latency_seconds_count": 30, "budget_left_ratio": -0.5, "elapsed_seconds": 3, "sent_total": 41}
    assert {name: found[f"drillyard_drill_{name}"] for name in names} == names
    documented = {metric.name for metric in ALL}
    stems = {re.sub(r"_(bucket|count|sum)$", "", name.split()[0]) for name in found}
    assert stems == documented


def test_a_plan_without_a_budget_exports_none() -> None:
    port = free_port()
    with exported("steady", "fraud/1", port) as exporter:
        exporter.follow(progress(budget_left=None))
        assert "budget_left" not in scrape(port)


def test_the_port_is_free_again_and_a_taken_one_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--metrics-port={port}"), exported("d", "m", port):
            pass
    for _ in range(2):
        with exported("d", "m", port):
            pass
    with exported("d", "m", None), pytest.raises(OSError, match="refused"):
        scrape(port)


def test_promtool_has_nothing_against_the_names() -> None:
    port = free_port()
    with exported("spike", "fraud/1", port) as exporter:
        exporter.follow(progress())
        assert_promtool_accepts(scrape(port))


def test_counts_up_to_a_bound_are_those_of_the_latencies() -> None:
    recorder = Recorder(bound_ms=20)
    for number in range(1, 101):
        recorder.sent(number, number)
        recorder.outcome(number, number + number / 1000, None)
    *counts, whole = recorder.counts_up_to((0.0005, 0.01, 0.0505, 0.1, 10.0))
    assert (counts, whole) == ([0, 10, 50, 100, 100], 100)
    assert recorder.latency_sum_s == pytest.approx(5.05)
    other = Recorder(bound_ms=20)
    other.merge(recorder.drain())
    assert other.latency_sum_s == pytest.approx(5.05)


@pytest.mark.integration
def test_a_running_drill_is_scraped(delay_server, samples, tmp_path) -> None:
    port, texts = free_port(), []
    plan = make_plan(rate_rps=100, duration_s=3)
    with exported(plan.name, plan.model, port) as exporter:

        def follow(line: Progress) -> None:
            exporter.follow(line)
            with suppress(OSError):
                texts.append(scrape(port))

        result = run_drill(
            plan, url=delay_server("--fail-every", 10), samples=samples, out=tmp_path / "r", on_progress=follow
        )
        last = figures(scrape(port))
    assert last["drillyard_drill_sent_total"] == result.requests
    assert last["drillyard_drill_requests_total outcome=error"] == result.errors > 0
    assert last["drillyard_drill_latency_seconds_count"] == result.extra["timed_requests"]
    assert last["drillyard_drill_budget_left_ratio"] < 0
    rising = [int(n) for text in texts for n in re.findall(r"sent_total{.*} (\d+)\.0", text)]
    assert rising == sorted(rising)
    assert len(set(rising)) > 1
