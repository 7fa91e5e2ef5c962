"""The real runner against a real server with known delays. Times are taken from what the server really did."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from drillyard.core.budget import BudgetScore
from drillyard.core.errors import InvalidMeasurement, ServiceUnreachable, UsageError
from drillyard.core.load import ClosedLoad
from drillyard.core.slo import DrillResult, Verdict
from loadtests.generator import traffic
from loadtests.generator.payloads import Payloads
from loadtests.generator.progress import Progress
from loadtests.judge.verdict import fell_behind
from loadtests.launch import run_drill
from tests.loadtests.support.builders import make_plan

pytestmark = pytest.mark.integration
REPO = Path(__file__).parents[2]


def skip_if_late(result: DrillResult) -> None:
    """On a crowded machine the generator itself is held up, says so, and its figures prove nothing either way."""
    if fell_behind(result.late_sends, result.requests):
        pytest.skip(f"the machine is too busy to measure: {result.reasons}")


def test_percentiles_are_those_the_server_injected(delay_server, samples, tmp_path):
    url = delay_server("--delay-ms", 8, "--slow-every", 40, "--slow-ms", 60, "--keep-times", "--real-time")
    lines: list[Progress] = []
    result = run_drill(
        make_plan(rate_rps=200, duration_s=4),
        url=url,
        samples=samples,
        out=tmp_path / "r.json",
        on_progress=lines.append,
    )
    skip_if_late(result)
    with urllib.request.urlopen(url + "/stats") as answer:
        held_ms = json.load(answer)["held_ms"][-result.requests :]  # without the warm-up
    for percentile, got in ((50, result.p50_ms), (90, result.p90_ms), (99, result.p99_ms)):
        truth = float(np.percentile(held_ms, percentile, method="inverted_cdf"))
        # 1% or 1 ms, and the way over the loopback and through two event loops, which the server does not see
        assert -1 <= got - truth <= max(1, 0.01 * truth) + 2
    assert result.verdict is Verdict.PASS
    assert result.errors == 0
    assert result == DrillResult.model_validate_json((tmp_path / "r.json").read_bytes())
    assert {line.phase for line in lines} == {"warm-up", "drill"}
    assert lines[-1].sent == result.requests
    assert result.extra["checked_answers"] == result.requests
    assert sum(result.series["ok"]) == result.requests
    budget = BudgetScore.model_validate(result.extra["budget"])
    assert [each.total for each in budget.objectives] == [result.requests] * 2
    assert (budget.pages, budget.spent) == (0, 0.0)
    assert lines[-1].budget_left == 1.0


def test_a_freeze_of_one_second_delays_every_request_that_was_due_in_it(delay_server, samples, tmp_path):
    url = delay_server("--freeze-at", 200, "--freeze-s", 1, "--real-time")
    plan = make_plan(rate_rps=100, duration_s=5)
    result = run_drill(plan, url=url, samples=samples, out=tmp_path / "r.json")
    skip_if_late(result)
    # Requests due at t seconds after the freeze began waited 1 - t: about 75 more than 250 ms, about 90 more than 100.
    assert 55 <= result.extra["over_p99_bound"] <= 100
    assert 850 <= result.p99_ms <= 1100
    assert result.p50_ms < 100
    assert result.verdict is Verdict.FAIL
    assert result.reasons[0].startswith("p99 ")
    budget = BudgetScore.model_validate(result.extra["budget"])
    assert budget.spent == pytest.approx(result.extra["over_p99_bound"] / 0.01 / result.requests)
    assert {firing.objective for firing in budget.firings} == {"latency"}
    assert budget.false_pages == budget.pages >= 1  # nobody told the drill that the freeze was a fault of its own


def test_a_closed_loop_measures_service_times_and_rows(delay_server, samples, tmp_path):
    load = ClosedLoad(users=1, rows=4, duration_s=3)
    plan = make_plan().model_copy(update={"load": load, "percentile": 90})
    result = run_drill(plan, url=delay_server("--delay-ms", 20), samples=samples, out=tmp_path / "r.json")
    assert result.verdict is Verdict.PASS
    assert result.errors == result.late_sends == 0
    assert 20 <= result.p50_ms <= result.p90_ms <= result.extra["proven_ms"] <= 250
    assert 44 <= result.requests <= 3000 / 20 + 1  # one after the other
    assert result.extra["rows_per_s"] == pytest.approx(4 * result.requests / 3)


def test_errors_and_wrong_answers_are_told_apart(delay_server, samples, tmp_path):
    url = delay_server("--fail-every", 10, "--wrong-every", 7)
    result = run_drill(make_plan(rate_rps=200), url=url, samples=samples, out=tmp_path / "r.json")
    assert set(result.error_counts) == {"503", "wrong answer"}
    assert result.error_counts["503"] == pytest.approx(result.requests / 10, abs=2)
    assert result.errors + sum(result.series["ok"]) == result.requests
    assert result.verdict is not Verdict.PASS


def test_a_load_beyond_the_generator_is_refused_before_it_measures_itself(delay_server, samples, tmp_path):
    plan = make_plan(rate_rps=100_000, duration_s=1)
    with pytest.raises(InvalidMeasurement, match="one generator process sends at most") as refusal:
        run_drill(plan, url=delay_server(), samples=samples, out=tmp_path / "r.json")
    assert refusal.value.exit_code == 3
    assert not (tmp_path / "r.json").exists()


def test_an_overloaded_generator_is_invalid(delay_server, samples, tmp_path):
    plan, out = tmp_path / "plan.json", tmp_path / "r.json"
    plan.write_text(make_plan(rate_rps=30_000, duration_s=1).model_dump_json())
    code = "import sys, loadtests.generator.runner as r; r.measure_limit = lambda *_: 1e9; sys.exit(r.main())"
    command = [sys.executable, "-c", code, "--plan", plan, "--url", delay_server(), "--samples", samples, "--out", out]
    done = subprocess.run([*map(str, command)], cwd=REPO, capture_output=True, timeout=60, check=False)
    result = DrillResult.model_validate_json(out.read_bytes())
    assert (result.verdict, done.returncode) == (Verdict.INVALID, 3)
    assert "generator fell behind" in result.reasons[0]


def test_requests_beyond_the_cap_are_dropped_and_blamed_on_the_stalled_system(delay_server, samples, tmp_path):
    url = delay_server("--freeze-at", 250, "--freeze-s", 1.5)
    plan, out = tmp_path / "plan.json", tmp_path / "r.json"
    plan.write_text(make_plan(rate_rps=200, duration_s=4).model_dump_json())
    code = (
        "import sys; from loadtests.generator import openloop, runner; "
        "openloop.MAX_IN_FLIGHT = 50; sys.exit(runner.main())"
    )
    command = [sys.executable, "-c", code, "--plan", plan, "--url", url, "--samples", samples, "--out", out]
    done = subprocess.run([*map(str, command)], cwd=REPO, capture_output=True, text=True, timeout=60, check=False)
    result = DrillResult.model_validate_json(out.read_bytes())
    skip_if_late(result)
    assert result.error_counts["dropped"] == pytest.approx(200 * 1.5 - 50, abs=60)
    assert result.verdict is Verdict.FAIL
    assert done.returncode == 1


def test_an_unreachable_server_and_wrong_samples_are_told_before_the_drill(delay_server, samples, tmp_path):
    with pytest.raises(ServiceUnreachable, match="does not answer"):
        run_drill(make_plan(), url="http://127.0.0.1:9", samples=samples, out=tmp_path / "r.json")
    with pytest.raises(UsageError, match="samples"):
        run_drill(make_plan(), url=delay_server(), samples=tmp_path, out=tmp_path / "r.json")


def test_a_crashed_generator_is_an_invalid_measurement_with_its_last_words(
    delay_server, samples, tmp_path, monkeypatch
):
    def crash(_: Progress) -> None:
        os.kill(find_child(os.getpid()), signal.SIGKILL)

    with pytest.raises(InvalidMeasurement, match="ended with code -9"):
        run_drill(make_plan(), url=delay_server(), samples=samples, out=tmp_path / "r.json", on_progress=crash)
    # A folder that the parent accepts and the child does not, as it was changed in between.
    monkeypatch.setattr(traffic, "shaped", lambda *_: None)
    monkeypatch.setattr(Payloads, "load", lambda _: None)
    with pytest.raises(InvalidMeasurement, match="a folder with samples"):
        run_drill(make_plan(), url=delay_server(), samples=tmp_path, out=tmp_path / "r.json")


def find_child(parent: int) -> int:
    """The runner among this process's children."""
    for task in Path(f"/proc/{parent}/task").iterdir():
        for child in (task / "children").read_text().split():
            if b"loadtests.generator.runner" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
    raise AssertionError("no runner among the children")


def test_ctrl_c_ends_the_generator_too(delay_server, samples, tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text(make_plan(duration_s=60).model_dump_json())
    code = (
        "import sys; from pathlib import Path; from drillyard.core.slo import DrillPlan\n"
        "from loadtests.launch import run_drill\n"
        "plan = DrillPlan.model_validate_json(Path(sys.argv[1]).read_text())\n"
        "run_drill(plan, url=sys.argv[2], samples=Path(sys.argv[3]), out=Path(sys.argv[1] + '.out'),"
        " on_progress=lambda line: print(line.phase, flush=True))\n"
    )
    command = [sys.executable, "-c", code, str(plan), delay_server(), str(samples)]
    parent = subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    parent.stdout.readline()
    child = find_child(parent.pid)
    parent.send_signal(signal.SIGINT)  # to the parent alone, as a supervisor would
    _, stderr = parent.communicate(timeout=20)
    assert "KeyboardInterrupt" in stderr
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()


def test_same_plan_same_requests(delay_server, samples, tmp_path):
    url = delay_server()
    counts = {
        run_drill(make_plan(duration_s=1), url=url, samples=samples, out=tmp_path / "r.json").requests for _ in range(2)
    }
    assert len(counts) == 1
