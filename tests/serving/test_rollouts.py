"""The supervisor's side of a change of versions, with replicas and a registry that assert; the socket is real."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drillyard.core.contract import ModelCard, ModelRef
from drillyard.core.errors import ArtifactRefused, ExitCode, ServiceUnreachable, UsageError
from serving.control import SOCKET, CommandError, Control, call
from serving.rollout import Limits
from serving.rollouts import RECONCILE_EVERY, Rollouts
from serving.state import VariantState
from serving.variants import Answers, Compared, Counts, Report, Tally, Variants


class FakeReplicas:
    """Two replicas; asserts that revisions only grow."""

    def __init__(self) -> None:
        self.serving = {name: Variants(revision=0, champion=1) for name in ("a", "b")}
        self.refuse: dict[str, str] = {}  # replica: reason, for every change that needs another version
        self.silent: set[str] = set()
        self.second = Counts()  # added to what each replica has counted, at each report
        self.counts = dict.fromkeys(self.serving, Counts())
        self.told: list[Variants] = []

    def follow(self, model: str, variants: Variants) -> Answers:
        assert model == "fraud"
        assert not self.told or variants.revision > self.told[-1].revision or variants == self.told[-1]
        self.told.append(variants)
        reports = []
        for name in set(self.serving) - self.silent:
            known = set(self.serving[name].versions) | {1}
            refused = self.refuse.get(name) if set(variants.versions) - known else None
            if refused is None:
                self.serving[name] = variants
            reports.append(self._report(name, refused))
        return Answers(reports=tuple(reports), failed=tuple(f"{name} is silent" for name in self.silent))

    def reports(self, model: str) -> Answers:
        for name in self.counts:
            self.counts[name] += self.second
        return Answers(reports=tuple(self._report(n, None) for n in set(self.serving) - self.silent), failed=())

    def _report(self, name: str, refused: str | None) -> Report:
        return Report(replica=name, variants=self.serving[name], refused=refused, counts=self.counts[name])


class FakeRegistry:
    """Aliases to versions; some versions are damaged, and it may be away."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self.aliases = {"champion": 1, "challenger": 2}
        self.damaged: set[int] = set()
        self.away = False

    def verify(self, ref: ModelRef, beside: ModelCard) -> ModelCard:
        assert beside.name == ref.name == "fraud"
        if self.away:
            raise ServiceUnreachable("MLflow", "http://registry", "wait")
        version = ref.version or self.aliases[str(ref.alias)]
        if version in self.damaged:
            raise ArtifactRefused(f"fraud/{version}", "model.onnx has another sha256")
        return self.card.model_copy(update={"version": version})


class Yard:
    """Rollouts with everything around them."""

    def __init__(self, card: ModelCard) -> None:
        self.replicas, self.registry = FakeReplicas(), FakeRegistry(card)
        self.states: list[dict[str, VariantState]] = []
        self.told: list[tuple[str, str, str]] = []
        self.rollouts = Rollouts(
            {ModelRef.parse("fraud"): card},
            self.replicas,
            verify=self.registry.verify,
            changed=self.states.append,
            tell=lambda model, version, event, reason: self.told.append((version, event, reason)),
        )

    def serving(self) -> set[tuple[int, int | None]]:
        return {(variants.champion, variants.challenger) for variants in self.replicas.serving.values()}


@pytest.fixture
def yard(cards: dict[str, ModelCard]) -> Yard:
    return Yard(cards["fraud"])


def test_sync_moves_all_replicas_once(yard: Yard) -> None:
    yard.registry.aliases["champion"] = 3
    assert yard.rollouts.sync("fraud").champion == 3
    assert yard.serving() == {(3, None)}
    assert yard.rollouts.sync("fraud").champion == 3
    assert len(yard.replicas.told) == 1
    assert yard.told == [("3", "synced", "fraud@champion is version 3")]
    assert yard.states[-1]["fraud"].champion == 3


def test_a_version_that_fails_here_never_reaches_a_replica(yard: Yard) -> None:
    yard.registry.aliases["champion"] = 3
    yard.registry.damaged = {3}
    with pytest.raises(ArtifactRefused, match="sha256"):
        yard.rollouts.sync("fraud")
    assert yard.replicas.told == []
    assert yard.told == [("3", "refused", "model.onnx has another sha256")]


def test_a_version_that_one_replica_refuses_is_taken_back_everywhere(yard: Yard) -> None:
    yard.registry.aliases["champion"] = 3
    yard.replicas.refuse = {"b": "no memory for it"}
    with pytest.raises(ArtifactRefused, match="no memory for it"):
        yard.rollouts.sync("fraud")
    assert yard.serving() == {(1, None)}
    assert yard.rollouts.state["fraud"].champion == 1


def test_the_watcher_does_not_try_a_refused_version_again_but_a_command_does(yard: Yard) -> None:
    yard.registry.aliases["champion"] = 3
    yard.replicas.refuse = {"b": "no memory for it"}
    with pytest.raises(ArtifactRefused):
        yard.rollouts.sync("fraud", unasked=True)
    changes = len(yard.replicas.told)
    yard.rollouts.sync("fraud", unasked=True)
    assert len(yard.replicas.told) == changes
    yard.replicas.refuse = {}
    assert yard.rollouts.sync("fraud").champion == 3
    yard.registry.aliases["champion"] = 4
    yard.registry.damaged = {4}
    for _ in range(3):
        with pytest.raises(ArtifactRefused):
            yard.rollouts.sync("fraud", unasked=True)
    assert [event for _, event, _ in yard.told] == ["refused", "synced", "refused"], "each is told once"


def test_an_unreachable_registry_changes_nothing(yard: Yard) -> None:
    yard.registry.away = True
    with pytest.raises(ServiceUnreachable):
        yard.rollouts.sync("fraud")
    assert (yard.replicas.told, yard.told) == ([], [])


def test_a_silent_replica_is_brought_up_to_date_later_and_all_silent_is_a_failure(yard: Yard) -> None:
    yard.registry.aliases["champion"] = 3
    yard.replicas.silent = {"b"}
    assert yard.rollouts.sync("fraud").champion == 3
    assert yard.serving() == {(3, None), (1, None)}
    yard.replicas.silent = set()
    for _ in range(RECONCILE_EVERY):
        yard.rollouts.tick()
    assert yard.serving() == {(3, None)}
    yard.registry.aliases["champion"] = 4
    yard.replicas.silent = {"a", "b"}
    with pytest.raises(ArtifactRefused, match="no replica of fraud answered"):
        yard.rollouts.sync("fraud")
    assert yard.rollouts.state["fraud"].champion == 3


def test_a_canary_is_rolled_back_on_evidence_and_not_before(yard: Yard) -> None:
    yard.replicas.counts = dict.fromkeys(yard.replicas.counts, Counts(challenger=Tally(answered=9, failed=9)))
    found = yard.rollouts.canary("fraud", 10.0, None, Limits())
    assert (found.challenger, found.percent, found.shadow) == (2, 10.0, False)
    good = Counts(champion=Tally(answered=900), challenger=Tally(answered=100), compared=Compared(agreed=100))
    yard.replicas.second = good
    for _ in range(30):
        yard.rollouts.tick()
    state = yard.rollouts.state["fraud"]
    assert (state.challenger, state.failed) == (2, 0), "what was counted before the canary began is not its doing"
    assert state.answered == 30 * 2 * 100
    yard.replicas.second = replace(good, challenger=Tally(answered=100, failed=20))
    for _ in range(10):
        yard.rollouts.tick()
    state = yard.rollouts.state["fraud"]
    assert (state.champion, state.challenger) == (1, None)
    assert yard.serving() == {(1, None)}
    assert yard.told[-1][:2] == ("2", "rolled back")
    assert "the limit is 1.00%" in state.event


def test_what_a_replica_counted_before_it_took_part_is_not_the_challengers_doing(yard: Yard) -> None:
    past = Counts(champion=Tally(answered=9_000), challenger=Tally(answered=500, failed=400))
    yard.replicas.counts = {"a": Counts(), "b": past}
    yard.replicas.silent = {"b"}
    yard.rollouts.canary("fraud", 10.0, None, Limits())
    yard.replicas.silent = set()
    for _ in range(3):
        yard.rollouts.tick()
    assert yard.serving() == {(1, 2)}
    assert yard.rollouts.state["fraud"].answered == 0


def test_a_challenger_that_becomes_champion_ends_its_trial(yard: Yard) -> None:
    yard.rollouts.shadow("fraud", 2, Limits())
    assert yard.serving() == {(1, 2)}
    yard.registry.aliases["champion"] = 3
    yard.rollouts.sync("fraud")
    assert yard.serving() == {(3, 2)}, "another champion does not end a trial"
    yard.registry.aliases["champion"] = 2
    state = yard.rollouts.sync("fraud")
    assert yard.serving() == {(2, None)}
    assert (state.champion, state.challenger, state.shadow) == (2, None, False)
    with pytest.raises(UsageError, match="drillyard models rollback fraud"):
        yard.rollouts.rollback("fraud")


def test_wrong_calls_name_what_is_right(yard: Yard) -> None:
    with pytest.raises(UsageError, match="one that is served: fraud"):
        yard.rollouts.sync("visoin")
    with pytest.raises(UsageError, match="percent"):
        yard.rollouts.canary("fraud", 0.0, 2, Limits())
    with pytest.raises(UsageError, match="other than the champion"):
        yard.rollouts.canary("fraud", 5.0, 1, Limits())
    pinned = Rollouts(
        {ModelRef.parse("fraud/1"): yard.registry.card},
        yard.replicas,
        verify=yard.registry.verify,
        changed=lambda _: None,
        tell=lambda *_: None,
    )
    assert pinned.followed() == []
    with pytest.raises(UsageError, match="fraud/1"):
        pinned.sync("fraud")


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    def answer(command: dict[str, Any]) -> dict[str, Any]:
        if command["command"] == "refuse":
            raise ServiceUnreachable("MLflow", "x", "wait")
        if command["command"] == "bug":
            raise RuntimeError("a bug")
        return {"heard": command["command"]}

    server = Control(tmp_path, answer)
    yield lambda command: call(tmp_path, command, timeout_s=5)
    server.close()
    with pytest.raises(ServiceUnreachable, match="drillyard serve status"):
        call(tmp_path, {"command": "late"}, timeout_s=1)


def test_commands_are_answered_and_failures_keep_their_exit_code(control: Callable[..., Any], tmp_path: Path) -> None:
    assert (tmp_path / SOCKET).stat().st_mode & 0o077 == 0
    assert control({"command": "a" * 20_000}) == {"heard": "a" * 20_000}
    with pytest.raises(CommandError, match="does not answer") as refused:
        control({"command": "refuse"})
    assert refused.value.exit_code == ExitCode.UNREACHABLE
    with pytest.raises(CommandError, match="a bug"):
        control({"command": "bug"})
    assert control({"command": "next"}) == {"heard": "next"}


def test_commands_from_several_clients_are_taken_in_turn(control: Callable[..., Any]) -> None:
    heard: list[Any] = []
    threads = [threading.Thread(target=lambda n=n: heard.append(control({"command": n}))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert sorted(answer["heard"] for answer in heard) == list(range(8))
