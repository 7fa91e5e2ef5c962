"""Who answers a request, and what is counted: without Ray, with fakes that check what they are given."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drillyard.core.contract import ModelCard
from drillyard.core.errors import ArtifactRefused, UsageError
from serving.artifact import LocalModel, verify
from serving.comparison import MAX_WAITING, Comparer, difference
from serving.engine import Engine
from serving.follower import Follower
from serving.loading import load
from serving.metrics import ModelMetrics
from serving.predictor import Predictor
from serving.protocol.errors import RequestError
from serving.protocol.routes import ModelRoutes
from serving.protocol.v2 import InferRequest
from serving.recipes import Batching
from serving.variants import Compared, Variants
from tests.serving.conftest import MeasuringFake, call_app
from tests.serving.test_routes import CountingFake
from tests.support import tiny_models

CANARY = Variants(revision=1, champion=1, challenger=2, percent=25.0)
SHADOW = Variants(revision=1, champion=1, challenger=2, shadow=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"challenger": 1, "percent": 5},
        {"percent": 5},
        {"shadow": True},
        {"challenger": 2},
        {"challenger": 2, "percent": 101},
        {"challenger": 2, "percent": -1},
        {"challenger": 2, "percent": float("nan")},
        {"challenger": 2, "percent": 5, "shadow": True},
    ],
)
def test_variants_that_contradict_themselves_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Variants(revision=0, champion=1, **wrong)


@settings(max_examples=30, derandomize=True)
@given(st.floats(0.01, 100), st.sampled_from(["r{}", "{:032x}", "2026-11-23T00:00:00/{}"]))
def test_the_share_of_ids_is_the_percentage(percent: float, form: str) -> None:
    variants = Variants(revision=1, champion=1, challenger=2, percent=percent)
    count = 4000
    share = sum(variants.challenger_answers(form.format(number * 7919)) for number in range(count)) / count
    p = percent / 100
    assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / count) + 0.001


@settings(max_examples=100, derandomize=True)
@given(st.text(), st.floats(0.01, 99), st.floats(0.01, 99))
def test_more_percent_takes_no_id_away_from_the_challenger(key: str, one: float, other: float) -> None:
    low, high = (
        Variants(revision=1, champion=1, challenger=2, percent=percent).challenger_answers(key)
        for percent in sorted((one, other))
    )
    assert high or not low


class FakePredictor:
    """Answers its version, checks what it is asked, fails when it is told to."""

    byte_time_s = 0.0

    def __init__(self, card: ModelCard, version: int, error: RequestError | None = None) -> None:
        self.card = card.model_copy(update={"version": version})
        self.asked = 0
        self.error = error

    def check(self) -> None:
        self.asked += 1

    def predict(self, inputs: dict[str, Any], outputs: tuple[str, ...]) -> dict[str, Any]:
        assert inputs["features"].shape == (1, 29)
        assert outputs == ("is_fraud",)
        self.asked += 1
        if self.error is not None:
            raise self.error
        return {"is_fraud": np.array([self.card.version == 1])}  # versions disagree


def request(key: str | None) -> InferRequest:
    return InferRequest(id=key, inputs={"features": np.zeros((1, 29), np.float32)}, outputs=("is_fraud",))


def engine_of(card: ModelCard, variants: Variants, error: RequestError | None = None) -> tuple[Engine, MeasuringFake]:
    metrics = MeasuringFake()
    predictors = {1: FakePredictor(card, 1), 2: FakePredictor(card, 2, error)}
    engine = Engine(predictors[1], metrics, Batching())
    engine.serve(variants, predictors)
    return engine, metrics


def ask(engine: Engine, keys: list[str | None], version: str | None = None) -> list[int]:
    async def run() -> list[int]:
        found = []
        for key in keys:
            found.append((await engine.infer(request(key), version))[0].version)
            await asyncio.sleep(0)  # comparisons happen after the answer
        return found

    return asyncio.run(run())


def test_a_canary_answers_its_ids_and_is_compared_with_the_champion(cards: dict[str, ModelCard]) -> None:
    engine, metrics = engine_of(cards["fraud"], CANARY)
    keys: list[str | None] = [f"k{number}" for number in range(200)]
    answers = ask(engine, keys)
    assert answers == [2 if CANARY.challenger_answers(str(key)) else 1 for key in keys]
    assert 0 < metrics.taken.count((2, "challenger")) == answers.count(2) < 200
    compared = [outcome for version, outcome in metrics.outcomes if version == 2]
    assert len(compared) == answers.count(2)
    assert set(compared) == {"disagree"}


def test_requests_without_an_id_meet_both(cards: dict[str, ModelCard]) -> None:
    engine, _ = engine_of(cards["fraud"], CANARY)
    assert 20 < ask(engine, [None] * 200).count(2) < 90


def test_an_explicit_version_is_exact_and_never_compared(cards: dict[str, ModelCard]) -> None:
    for variants in (CANARY, SHADOW):
        engine, metrics = engine_of(cards["fraud"], variants)
        assert ask(engine, ["a", "b"], version="2") == [2, 2]
        assert ask(engine, ["a", "b"], version="1") == [1, 1]
        assert metrics.outcomes == []
        with pytest.raises(RequestError, match="no version '3' here; expected 1 or 2"):
            engine.card("3")
        routes = ModelRoutes(engine, CountingFake(), max_body_bytes=1, max_rows=1, max_pixels=1)
        for path in ("/v2/models/fraud", "/v2/models/fraud/versions/2"):
            assert call_app(routes, "GET", path).json["versions"] == ["1", "2"]


@pytest.mark.parametrize(("error", "outcome"), [(None, "disagree"), (RequestError(500, "no"), "failed")])
def test_a_shadow_answers_nothing_whatever_it_does(
    cards: dict[str, ModelCard], error: RequestError | None, outcome: str
) -> None:
    engine, metrics = engine_of(cards["fraud"], SHADOW, error)
    assert ask(engine, ["a", "b", None]) == [1, 1, 1]
    assert set(metrics.taken) == {(1, "champion")}
    assert metrics.outcomes == [(2, outcome)] * 3


def test_a_request_under_way_keeps_its_version(cards: dict[str, ModelCard]) -> None:
    """The lineup is read once: a change between the choice and the answer is not seen."""
    engine, _ = engine_of(cards["fraud"], Variants(revision=1, champion=1))
    slow = FakePredictor(cards["fraud"], 1)
    slow.byte_time_s = 1.0  # leaves the event loop, so the change comes between
    engine.serve(Variants(revision=2, champion=1), {1: slow})

    async def run() -> tuple[int, int]:
        under_way = asyncio.create_task(engine.infer(request("a")))
        await asyncio.sleep(0)
        engine.serve(Variants(revision=3, champion=2), {2: FakePredictor(cards["fraud"], 2)})
        return (await under_way)[0].version, (await engine.infer(request("a")))[0].version

    assert asyncio.run(run()) == (1, 2)


def test_comparisons_are_bounded_and_those_beyond_are_counted() -> None:
    outcomes: list[str] = []
    comparer = Comparer(outcomes.append)
    answer = {"label": np.array([1])}

    async def run() -> None:
        for _ in range(MAX_WAITING + 5):
            comparer.offer(answer, lambda: answer, quick=True)
        assert outcomes == ["dropped"] * 5
        await asyncio.sleep(0)
        comparer.offer(answer, lambda: answer, quick=False)  # there is room again
        while len(outcomes) < MAX_WAITING + 6:
            await asyncio.sleep(0.001)

    asyncio.run(run())
    assert comparer.seen == Compared(agreed=MAX_WAITING + 1, dropped=5)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"label": [1, 2], "score": [0.1, 0.2]}, {"label": [1, 2], "score": [0.1, 0.7]}, (False, 0.5)),
        ({"label": [1, 2], "score": [0.1, 0.2]}, {"label": [1, 3], "score": [0.1, 0.2]}, (True, 0.0)),
        ({"score": [0.5]}, {"score": [0.55]}, (False, 0.05)),
        ({"score": [0.5]}, {"score": [0.75]}, (True, 0.25)),
        ({"score": [0.5]}, {"score": [float("nan")]}, (True, 0.0)),
    ],
)
def test_what_counts_as_a_disagreement(first: Any, second: Any, expected: tuple[bool, float]) -> None:
    one, other = ({name: np.array(values) for name, values in answer.items()} for answer in (first, second))
    disagree, largest = difference(one, other)
    assert (disagree, pytest.approx(largest)) == (expected[0], expected[1])


class Versions:
    """Loads fake predictors; refuses those it is told to, and asserts that it is told what they stand beside."""

    def __init__(self, card: ModelCard, refused: set[int]) -> None:
        self.card, self.refused, self.loaded = card, refused, list[int]()

    def __call__(self, version: int, beside: ModelCard | None) -> FakePredictor:
        assert (beside is None) == (not self.loaded)
        self.loaded.append(version)
        if version in self.refused:
            raise ArtifactRefused(f"fraud/{version}", "it is broken")
        return FakePredictor(self.card, version)


@pytest.fixture
def follower(cards: dict[str, ModelCard], tmp_path: Path) -> Callable[..., tuple[Follower, Versions]]:
    def make(wanted: Variants, refused: set[int]) -> tuple[Follower, Versions]:
        versions = Versions(cards["fraud"], refused)
        return Follower(
            wanted, versions, lambda card: ModelMetrics(tmp_path, card.name, card.version), Batching()
        ), versions

    return make


def test_a_replica_follows_newer_variants_and_keeps_what_it_has(
    follower: Callable[..., tuple[Follower, Versions]],
) -> None:
    following, versions = follower(Variants(revision=0, champion=1), set())
    report = asyncio.run(following.follow(CANARY))
    assert (report.variants, report.refused, versions.loaded) == (CANARY, None, [1, 2])
    promoted = Variants(revision=2, champion=2)
    assert asyncio.run(following.follow(promoted)).variants == promoted
    assert versions.loaded == [1, 2], "the challenger was there already"
    assert asyncio.run(following.follow(CANARY)).variants == promoted, "an older revision arrives late"
    assert following.engine.card().version == 2
    following.check()


def test_a_replica_refuses_and_answers_as_before(follower: Callable[..., tuple[Follower, Versions]]) -> None:
    following, _ = follower(Variants(revision=0, champion=1), {2})
    report = asyncio.run(following.follow(CANARY))
    assert (report.variants.champion, report.variants.challenger, report.refused) == (1, None, "it is broken")
    assert following.engine.card().version == 1
    again = asyncio.run(following.follow(Variants(revision=2, champion=1)))
    assert (again.refused, again.variants.revision) == (None, 2)


def test_a_replica_that_starts_beside_a_broken_challenger_serves_the_champion(
    follower: Callable[..., tuple[Follower, Versions]],
) -> None:
    following, _ = follower(CANARY, {2})
    report = following.report()
    assert (report.variants.versions, report.variants.revision, report.refused) == ((1,), 1, "it is broken")
    with pytest.raises(ArtifactRefused):
        follower(CANARY, {1})


def test_the_report_counts_by_version_and_role(follower: Callable[..., tuple[Follower, Versions]]) -> None:
    following, _ = follower(CANARY, set())
    challenger = following.metrics.of(2, "challenger")
    for seconds, code in ((0.001, 200), (0.001, 500), (0.2, 200), (0.001, 400), (0.001, 503)):
        challenger.answered(seconds, code)
    following.metrics.champion.answered(0.001, 200)
    counts = following.report().counts
    assert (counts.challenger.answered, counts.challenger.failed, counts.challenger.slow) == (3, 1, 1)
    assert (counts.champion.answered, counts.champion.failed, counts.champion.slow) == (1, 0, 0)


def test_a_version_with_other_tensors_is_refused(models: dict[str, LocalModel], tmp_path: Path) -> None:
    fraud, vision = models["fraud"], models["vision"]
    with pytest.raises(ArtifactRefused, match="its inputs are not those of version 1"):
        load(fraud.ref, **_where(fraud), threads=1, beside=vision.card)
    shuffled = fraud.card.model_copy(update={"labels": fraud.card.labels[::-1]})  # the same tensors, otherwise meant
    with pytest.raises(ArtifactRefused, match="its labels are not those of version 1"):
        load(fraud.ref, **_where(fraud), threads=1, beside=shuffled)
    assert load(fraud.ref, **_where(fraud), threads=1, beside=fraud.card).byte_time_s > 0


def _where(model: LocalModel) -> dict[str, Any]:
    """A cache that holds the model already, so that no registry is asked."""
    (model.path / "origin.txt").write_text("registry\nsource\n")
    return {"tracking_uri": "registry", "cache": model.path.parents[1]}


def test_a_version_that_does_not_answer_its_samples_as_it_did_is_refused(tmp_path: Path) -> None:
    """The files are what the card says, but the samples hold another graph's answers."""
    import hashlib

    from drillyard.core.contract import CARD_FILE, SAMPLES_FILE

    card = tiny_models.write_fraud(tmp_path, threshold=0.0001)
    with np.load(tmp_path / SAMPLES_FILE) as samples:
        changed = {**samples, "output.is_fraud": ~samples["output.is_fraud"]}
    np.savez(tmp_path / SAMPLES_FILE, allow_pickle=False, **changed)
    sha256 = hashlib.sha256((tmp_path / SAMPLES_FILE).read_bytes()).hexdigest()
    (tmp_path / CARD_FILE).write_text(card.model_copy(update={"samples_sha256": sha256}).model_dump_json())
    from drillyard.core.contract import ModelRef

    predictor = Predictor(verify(tmp_path, ModelRef(name="fraud", version=1)), threads=1)
    with pytest.raises(ArtifactRefused, match="output is_fraud for its own samples"):
        predictor.prove()
