"""The twin's answers from a calibration made up so that they are known."""

import json
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from typer.testing import CliRunner

from designs.twin import BatchTime, Outage, Scaling, Scenario, predict, sustainable_rps
from designs.twin.closed_forms import mm1_latency_s
from designs.twin.node import exponential
from drillyard.cli.app import app
from drillyard.core.errors import UsageError
from drillyard.core.load import Load, Spike
from drillyard.core.slo import Slo
from tests.designs.support import made_up

EXPONENTIAL = tuple((100 * (i + 0.5) / 4096, float(x)) for i, x in enumerate(exponential()))
CALIBRATION = made_up.calibration("made-up/1", trace=EXPONENTIAL)
SLO = Slo(p50_ms=50, p99_ms=20, max_error_rate=0.001)
STEADY = Scenario(load=Load(rate_rps=500, duration_s=40), slo=SLO)


def test_the_twin_of_an_mm1_queue_says_what_theory_says() -> None:
    """A loop of 1 ms at 500 requests/s and 2 ms of delay; within 8%, the chance of one drill's arrivals."""
    found = predict(CALIBRATION, STEADY)
    assert found.p50_ms.value == pytest.approx(2 + 1000 * mm1_latency_s(500, 0.001, 50), rel=0.08)
    assert found.p99_ms.value == pytest.approx(2 + 1000 * mm1_latency_s(500, 0.001, 99), rel=0.08)
    assert (found.utilisation.value, found.bottleneck) == (pytest.approx(0.5, rel=0.02), "event loops")
    assert found.shed_share.value == found.failed_share.value == 0
    assert not found.extrapolated


def test_the_highest_sustainable_rate_is_where_the_p99_meets_its_bound() -> None:
    """2 ms + p99 of M/M/1 = 20 ms at 1000 - ln(100)/18 ms = 744 requests/s."""
    found = sustainable_rps(CALIBRATION, STEADY)
    assert found.value == pytest.approx(1000 - np.log(100) / 0.018, rel=0.04)


def test_a_machine_half_as_fast_answers_half_the_rate_in_twice_the_time() -> None:
    slow = predict(CALIBRATION, STEADY.model_copy(update={"slowdown": 2.0, "load": Load(rate_rps=250, duration_s=80)}))
    fast = predict(CALIBRATION, STEADY)
    assert slow.p99_ms.value == pytest.approx(2 * fast.p99_ms.value, rel=0.02)
    assert slow.utilisation.value == pytest.approx(fast.utilisation.value, rel=0.02)


def test_overload_is_shed_and_said_to_be_beyond_what_was_measured() -> None:
    found = predict(CALIBRATION, STEADY.model_copy(update={"load": Load(rate_rps=2000, duration_s=10)}))
    assert found.shed_share.value > 0.4
    assert found.utilisation.value > 0.95
    assert found.extrapolated


def test_more_replicas_than_cores_do_not_help() -> None:
    """Each request costs 1.6 ms on a core in all: 2 cores carry at most 1,187 requests/s beside the background."""
    load = Load(rate_rps=1800, duration_s=10)
    two = predict(CALIBRATION, STEADY.model_copy(update={"load": load, "replicas": 3}))
    assert two.bottleneck == "cores"
    assert two.utilisation.value == pytest.approx((0.1 + 1800 * 0.0016) / 2, rel=0.03) or two.utilisation.value == 1
    assert two.shed_share.value > 0.2
    highest = sustainable_rps(CALIBRATION, STEADY.model_copy(update={"replicas": 3}))
    assert highest.value <= (2 - 0.1) / 0.0016


def test_rounds_are_the_uncertainty() -> None:
    slower = CALIBRATION.rounds[0].points[0].model_copy(update={"delay_ms": 4})
    rounds = (*CALIBRATION.rounds, CALIBRATION.rounds[0].model_copy(update={"points": (slower,)}))
    found = predict(CALIBRATION.model_copy(update={"rounds": rounds}), STEADY)
    assert found.p50_ms.high - found.p50_ms.low == pytest.approx(2, abs=0.1)
    assert found.p50_ms.low < found.p50_ms.value < found.p50_ms.high


def test_batches_fill_under_load_and_company_costs_a_lone_request_its_wait() -> None:
    batched = CALIBRATION.rounds[0].model_copy(update={"batch": BatchTime(call_us=1000, row_us=100)})
    calibration = CALIBRATION.model_copy(update={"rounds": (batched,)})
    lone = STEADY.model_copy(update={"load": Load(rate_rps=5, duration_s=400)})
    waits = lone.model_copy(update={"max_wait_s": 0.03})
    gained = predict(calibration, waits).p50_ms.value - predict(calibration, lone).p50_ms.value
    assert gained == pytest.approx(30, abs=0.5)
    one_by_one = STEADY.model_copy(update={"max_rows": 1, "load": Load(rate_rps=900, duration_s=20)})
    together = one_by_one.model_copy(update={"max_rows": 32})
    assert predict(calibration, one_by_one).utilisation.value > predict(calibration, together).utilisation.value


@pytest.mark.parametrize(("kind", "worst_ms"), [("kill", (2, 100)), ("freeze", (3000, 3100))])
def test_an_outage_shows_as_it_does_on_the_real_server(kind: Literal["kill", "freeze"], worst_ms: Any) -> None:
    """A killed replica costs a repeat; a frozen one holds the few that it has until the answer's timeout, 3 s."""
    load = Load(rate_rps=200, duration_s=15)
    asked = STEADY.model_copy(update={"load": load, "replicas": 2, "outage": Outage(kind=kind, at_s=5, lasts_s=4)})
    found = predict(CALIBRATION, asked)
    assert found.failed_share.value == 0
    assert worst_ms[0] < found.max_ms.value < worst_ms[1]
    assert found.p99_ms.value < 100


def test_an_autoscaler_with_a_shorter_lag_sheds_less_of_a_spike() -> None:
    load = Load(rate_rps=250, duration_s=5, shape=Spike(factor=6, at_s=1, lasts_s=3))
    lags = {
        start_s: predict(
            CALIBRATION,
            STEADY.model_copy(
                update={"load": load, "scaling": Scaling(max_replicas=3, start_s=start_s, upscale_delay_s=0.5)}
            ),
        ).shed_share.value
        for start_s in (0.5, 4.0)
    }
    assert lags[0.5] < lags[4.0]


def test_what_the_server_would_refuse_is_refused() -> None:
    with pytest.raises(UsageError, match="max_ongoing_requests"):
        predict(CALIBRATION, STEADY.model_copy(update={"max_ongoing_requests": 32}))
    with pytest.raises(UsageError, match="replicas"):
        predict(CALIBRATION, STEADY.model_copy(update={"outage": Outage(kind="kill", at_s=1, lasts_s=1)}))


def test_a_million_requests_of_one_load_take_a_tenth_of_a_minute_at_most() -> None:
    began = time.process_time()
    found = predict(CALIBRATION, STEADY.model_copy(update={"load": Load(rate_rps=500, duration_s=2000)}))
    assert found.simulated > 990_000
    assert time.process_time() - began < 6


def test_the_command_answers_from_a_calibration_file(tmp_path: Path) -> None:
    file, out = tmp_path / "made-up.json", tmp_path / "answer.json"
    file.write_text(CALIBRATION.model_dump_json())
    words = ["twin", "predict", "fraud", "--rps", "400", "--duration", "10", "--calibration", str(file)]
    result = CliRunner().invoke(app, [*words, "--json", str(out)])
    assert result.exit_code == 0, result.output
    assert "highest sustainable rate" in result.output
    found = json.loads(out.read_text())
    assert found["model"] == "made-up/1"
    assert found["p50_ms"]["low"] <= found["p50_ms"]["value"] <= found["p99_ms"]["high"]
    assert 400 < found["sustainable_rps"]["value"] < 1000


def test_a_million_requests_a_second_are_planned_from_a_calibration(tmp_path: Path) -> None:
    """Nodes carry what the twin says without the generator, filled to half with one of three zones lost."""
    file, out = tmp_path / "made-up.json", tmp_path / "answer.json"
    file.write_text(CALIBRATION.model_dump_json())
    words = ["twin", "plan", "fraud", "--rps", "1000000", "--usd-per-hour", "0.1", "--target", "0.5"]
    result = CliRunner().invoke(app, [*words, "--calibration", str(file), "--json", str(out)])
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    capacity = found["node"]["capacity_rps"]
    assert 600 < capacity < 1000
    assert found["nodes"] == pytest.approx(1_000_000 / capacity / 0.5 * 3 / 2, rel=0.02)
    assert "made-up/1" in found["node"]["capacity_source"]


def test_a_model_that_was_not_calibrated_is_a_wrong_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRILLYARD_HOME", str(tmp_path))
    result = CliRunner().invoke(app, ["twin", "predict", "fraud", "--rps", "400"])
    assert isinstance(result.exception, UsageError)
    assert "drillyard twin calibrate" in str(result.exception)
