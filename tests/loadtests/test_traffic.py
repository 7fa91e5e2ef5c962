"""Traffic that is not the model's own samples: malformed requests, moved inputs, clients that ask again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drillyard.core.contract import TensorSpec
from drillyard.core.errors import UsageError
from drillyard.core.traffic import Drift, Poison, Retries
from loadtests.generator import traffic
from loadtests.generator.payloads import Payloads
from loadtests.generator.recorder import REJECTED, WRONG, Recorder
from loadtests.generator.retries import RetryPolicy
from loadtests.generator.traffic import Drifted, Poisoned
from loadtests.selftest.model import answer
from tests.loadtests.support.builders import make_card

NUMBERS = range(5000)


def answered(features: list[float]) -> bytes:
    outputs = [{"name": name, "data": data} for name, data in answer(features).items()]
    return json.dumps({"outputs": outputs}).encode()


def test_a_share_of_the_requests_is_malformed_each_in_another_way(samples: Path) -> None:
    plain = Payloads.load(samples)
    poisoned = traffic.shaped(Poison(share=0.2), plain, samples)
    assert isinstance(poisoned, Poisoned)
    bad = [number for number in NUMBERS if poisoned.choose(number) >= len(plain.bodies)]
    assert 0.18 < len(bad) / len(NUMBERS) < 0.22
    assert len({poisoned.choose(number) for number in bad}) == 5
    good = next(number for number in NUMBERS if number not in bad)
    assert poisoned.bodies[poisoned.choose(good)] == plain.bodies[plain.choose(good)]
    assert [poisoned.judge(bad[0], status, b"") for status in (400, 413, 200, 500)] == [
        REJECTED,
        REJECTED,
        "malformed answered 200",
        "malformed answered 500",
    ]
    assert poisoned.judge(good, 400, b"") == "400"
    assert poisoned.judge(good, 200, b"{}") == WRONG


def test_each_malformed_body_is_one_that_the_server_must_refuse(samples: Path) -> None:
    plain = Payloads.load(samples)
    poisoned = traffic.shaped(Poison(), plain, samples)
    cut, name, datatype, shape, data = poisoned.bodies[len(plain.bodies) :]
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut)
    original = json.loads(plain.bodies[0])["inputs"][0]
    changed = [json.loads(body)["inputs"][0] for body in (name, datatype, shape, data)]
    assert [[key for key in original if original[key] != each[key]] for each in changed] == [
        ["name"],
        ["datatype"],
        ["shape"],
        ["data"],
    ]


def test_rejected_requests_count_neither_as_answers_nor_as_errors_nor_as_latencies() -> None:
    recorder = Recorder(bound_ms=10)
    for error in (None, REJECTED, "503"):
        recorder.sent(0.0, 0.0)
        recorder.outcome(0.0, 0.001, error)
    measured = recorder.measured(scheduled=3)
    assert (measured.ok, measured.errors, measured.rejected, measured.timed) == (1, 1, 1, 1)
    merged = Recorder(bound_ms=10)
    merged.merge(recorder.drain())
    assert merged.measured(3) == measured


def test_columns_are_shifted_by_standard_deviations_where_the_card_names_them(arrays: dict[str, Any]) -> None:
    card = make_card()
    drifted = Drifted(card, arrays, Drift(strength=2.0, features=("V3",)))
    before = arrays["input.features"]
    sent = np.array([json.loads(body)["inputs"][0]["data"] for body in drifted.bodies])
    moved = sent - before
    assert moved[:, 3] == pytest.approx(2.0 * before[:, 3].std(), rel=1e-4)
    assert np.abs(np.delete(moved, 3, axis=1)).max() < 1e-6
    every = Drifted(card, arrays, Drift(strength=2.0))
    assert (np.array([json.loads(body)["inputs"][0]["data"] for body in every.bodies]) > before).all()
    with pytest.raises(UsageError, match=r"drift\.features"):
        Drifted(card, arrays, Drift(features=("Amount",)))


def test_moved_inputs_have_no_right_answer_but_a_right_form(arrays: dict[str, Any]) -> None:
    drifted = Drifted(make_card(), arrays, Drift())
    assert drifted.judge(0, 200, answered([0.5] * 29)) is None
    assert drifted.judge(0, 200, b'{"outputs": [{"name": "score", "data": [1]}]}') == WRONG
    assert drifted.judge(0, 200, b"nonsense") == WRONG
    assert drifted.judge(0, 503, b"") == "503"


def test_images_are_darkened_and_blurred() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    card = make_card(
        inputs=(TensorSpec(name="image", dtype="UINT8", shape=(-1, -1, -1, 3)),),
        outputs=(TensorSpec(name="label", dtype="INT64", shape=(-1,)),),
    )
    arrays = {"input.image": images, "output.label": np.zeros(4, dtype=np.int64)}
    drifted = Drifted(card, arrays, Drift(strength=0.5))
    sent = np.array([json.loads(body)["inputs"][0]["data"] for body in drifted.bodies]).reshape(images.shape)
    assert sent.mean() == pytest.approx(images.mean() / 2, rel=0.02)
    assert sent.std() < images.std() / 4  # half by darkening, the rest by blurring
    with pytest.raises(UsageError, match="images or columns"):
        Drifted(card, arrays | {"input.image": np.zeros_like(images)}, Drift())


def retried(retries: Retries, errors: list[str]) -> list[float]:
    policy, pauses = RetryPolicy(retries), []
    policy.first()
    for attempt, error in enumerate(errors, 1):
        pause_s = policy.pause_s(attempt, error)
        if pause_s is None:
            break
        pauses.append(pause_s)
    return pauses


def test_clients_ask_again_at_once_until_their_attempts_are_used_up() -> None:
    assert retried(Retries(attempts=4), ["503"] * 9) == [0.0, 0.0, 0.0]
    assert retried(Retries(attempts=4), [WRONG]) == []


def test_pauses_grow_and_are_random() -> None:
    found = np.array([retried(Retries(attempts=4, backoff_s=0.1), ["timeout"] * 9) for _ in range(1)])
    assert found.shape == (1, 3)
    policy = RetryPolicy(Retries(attempts=9, backoff_s=0.1))
    means = [np.mean([policy.pause_s(attempt, "503") or 0.0 for _ in range(2000)]) for attempt in (1, 2, 3)]
    assert means == pytest.approx([0.1, 0.2, 0.4], rel=0.1)


def test_a_budget_bounds_what_all_clients_together_ask_again() -> None:
    policy = RetryPolicy(Retries(attempts=4, budget=0.1))
    asked_again = 0
    for _ in range(1000):
        policy.first()
        attempt = 1
        while policy.pause_s(attempt, "503") is not None:
            attempt += 1
            asked_again += 1
    assert asked_again == pytest.approx(110, abs=2)  # a tenth, and what was saved up before
