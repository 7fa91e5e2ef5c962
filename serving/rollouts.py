"""The supervisor's side of a change of versions: champions, canaries and shadows of every model it serves.

A version is verified here once before any replica hears of it. Thread-safe: commands come from the control socket, the
registry's watcher and the supervisor's own clock.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from drillyard.core.contract import CHALLENGER, ModelCard, ModelRef
from drillyard.core.errors import ArtifactRefused, UsageError
from serving.metrics import LifecycleEvent
from serving.rollout import Limits, Trial
from serving.state import VariantState, now
from serving.variants import Answers, Counts, Variants

RECONCILE_EVERY = 5  # ticks, for a model without a trial: a replica may have missed a change


class Replicas(Protocol):
    """All replicas of all models."""

    def follow(self, model: str, variants: Variants) -> Answers: ...
    def reports(self, model: str) -> Answers: ...


@dataclass
class _Model:
    """One served model."""

    ref: ModelRef  # as the server was told: an alias is followed, a version is kept
    card: ModelCard  # of the champion
    variants: Variants
    event: str = ""
    trial: Trial | None = None
    counted: dict[str, Counts] = field(default_factory=dict)  # by replica, up to the last tick
    refused: dict[str, str] = field(default_factory=dict)  # versions and why; not tried again unless asked for


class Rollouts:
    """Moves replicas between versions, and judges challengers."""

    def __init__(
        self,
        served: Mapping[ModelRef, ModelCard],
        replicas: Replicas,
        *,
        verify: Callable[[ModelRef, ModelCard], ModelCard],
        changed: Callable[[dict[str, VariantState]], None],
        tell: Callable[[str, str, LifecycleEvent, str], None],
    ) -> None:
        """`verify` loads a version, proves it beside the served card and returns its card, or raises DrillyardError;
        `changed` gets the whole state after each change; `tell` gets model, version, what happened and its reason.
        """
        self._models = {
            ref.name: _Model(ref=ref, card=card, variants=Variants(revision=0, champion=card.version))
            for ref, card in served.items()
        }
        self._replicas, self._verify, self._changed, self._tell = replicas, verify, changed, tell
        self._lock = threading.RLock()
        self._ticks = 0

    @property
    def state(self) -> dict[str, VariantState]:
        """What is served, by model."""
        with self._lock:
            return {name: _state(model) for name, model in self._models.items()}

    def followed(self) -> list[str]:
        """Names of the models that follow an alias."""
        return [name for name, model in self._models.items() if model.ref.version is None]

    def sync(self, name: str, *, unasked: bool = False) -> VariantState:
        """Move to the version that the model's alias means now; `unasked`, unless it was refused before.

        Raises ModelNotFound, ServiceUnreachable, ArtifactRefused (the old version stays) and UsageError.
        """
        model = self._model(name)
        if model.ref.version is not None:
            raise UsageError("model", name, f"one that follows an alias; this server was told to serve {model.ref}")
        card = self._verified(model, model.ref)
        with self._lock:
            if card.version != model.variants.champion and not (unasked and str(card.version) in model.refused):
                ends = card.version == model.variants.challenger  # promoted: its trial is over
                base = Variants(revision=0, champion=card.version) if ends else model.variants
                self._move(name, model, replace(base, champion=card.version), card.version)
                model.card = card
                model.refused.pop(str(card.version), None)
                if ends:
                    model.trial = None
                self._happened(name, model, card.version, "synced", f"{model.ref} is version {card.version}")
            return _state(model)

    def canary(self, name: str, percent: float, version: int | None, limits: Limits) -> VariantState:
        """Let a version (default the challenger alias) answer a share of the requests. Raises as `sync` does."""
        if not percent > 0:
            raise UsageError("percent", percent, "a number above 0 and at most 100")
        return self._try(name, version, limits, percent=percent, shadow=False)

    def shadow(self, name: str, version: int | None, limits: Limits) -> VariantState:
        """Let a version (default the challenger alias) see copies of all requests. Raises as `sync` does."""
        return self._try(name, version, limits, percent=0.0, shadow=True)

    def rollback(self, name: str, reason: str = "asked for") -> VariantState:
        """End the model's canary or shadow. Raises UsageError when there is none."""
        model = self._model(name)
        with self._lock:
            challenger = model.variants.challenger
            if challenger is None:
                remedy = f"one with a canary or shadow; for an earlier champion: drillyard models rollback {name}"
                raise UsageError("model", name, f"{remedy}, then drillyard serve sync {name}")
            self._end(name, model, reason)
            return _state(model)

    def tick(self) -> None:
        """Once a second: judge challengers, and bring replicas that missed a change up to date."""
        self._ticks += 1
        for name, model in self._models.items():
            with self._lock:
                if model.trial is not None or self._ticks % RECONCILE_EVERY == 0:
                    self._look_at(name, model)

    def _look_at(self, name: str, model: _Model) -> None:
        reports = self._replicas.reports(name).reports
        behind = {report.replica for report in reports if report.variants.revision < model.variants.revision}
        if behind:
            reports = self._replicas.follow(name, model.variants).reports
            # What they have counted until now was before they took part.
            model.counted |= {report.replica: report.counts for report in reports if report.replica in behind}
        if model.trial is None:
            return
        refused = [report.refused for report in reports if report.refused is not None]
        if refused:
            self._end(name, model, refused[0])
            return
        second = Counts()
        for report in reports:
            if report.variants.revision == model.variants.revision:
                second += report.counts - model.counted.get(report.replica, Counts())
                model.counted[report.replica] = report.counts
        reason = model.trial.observe(second)
        if reason is not None:
            self._end(name, model, reason)
        self._changed(self.state)

    def _try(self, name: str, version: int | None, limits: Limits, *, percent: float, shadow: bool) -> VariantState:
        model = self._model(name)
        ref = ModelRef(name=name, alias=CHALLENGER) if version is None else ModelRef(name=name, version=version)
        card = self._verified(model, ref)
        with self._lock:
            variants = replace(
                model.variants, challenger=card.version, percent=percent, shadow=shadow, slow_s=limits.slow_s
            )
            self._move(name, model, variants, card.version)
            model.trial = Trial(limits, shadow=shadow)
            text = "sees copies of all requests" if shadow else f"answers {percent:g}% of the requests"
            self._happened(name, model, card.version, "shadow" if shadow else "canary", text)
            return _state(model)

    def _move(self, name: str, model: _Model, variants: Variants, version: int) -> None:
        """Let all replicas serve these variants or, if one refuses, the former again. Raises ArtifactRefused."""
        before = model.variants
        model.variants = replace(variants, revision=before.revision + 1)
        answers = self._replicas.follow(name, model.variants)
        model.counted = {report.replica: report.counts for report in answers.reports}
        refused = [report.refused for report in answers.reports if report.refused is not None]
        if refused or not answers.reports:
            model.variants = replace(before, revision=before.revision + 2)
            answers = self._replicas.follow(name, model.variants)
            model.counted = {report.replica: report.counts for report in answers.reports}
            reason = "; ".join(refused) or f"no replica of {name} answered: {', '.join(answers.failed)}"
            self._refuse(name, model, str(version), reason)
            raise ArtifactRefused(f"{name}/{version}", reason)

    def _end(self, name: str, model: _Model, reason: str) -> None:
        """Without the challenger; a replica that cannot be reached now is told by a later tick."""
        challenger = model.variants.challenger
        assert challenger is not None
        model.variants = Variants(revision=model.variants.revision + 1, champion=model.variants.champion)
        model.trial = None
        self._replicas.follow(name, model.variants)
        self._happened(name, model, challenger, "rolled back", reason)

    def _verified(self, model: _Model, ref: ModelRef) -> ModelCard:
        """Not under the lock: fetching may take long, and challengers must be judged meanwhile."""
        try:
            return self._verify(ref, model.card)
        except ArtifactRefused as error:
            with self._lock:
                self._refuse(ref.name, model, error.ref.removeprefix(f"{ref.name}/"), error.reason)
            raise

    def _refuse(self, name: str, model: _Model, version: str, reason: str) -> None:
        """Told once, however often the registry's watcher comes by."""
        if model.refused.get(version) != reason:
            model.refused[version] = reason
            self._happened(name, model, version, "refused", reason)

    def _happened(self, name: str, model: _Model, version: int | str, event: LifecycleEvent, reason: str) -> None:
        model.event = f"{now()} version {version} {event}: {reason}"
        self._tell(name, str(version), event, reason)
        self._changed(self.state)

    def _model(self, name: str) -> _Model:
        if name not in self._models:
            raise UsageError("model", name, f"one that is served: {', '.join(self._models)}")
        return self._models[name]


def _state(model: _Model) -> VariantState:
    variants, total = model.variants, model.trial.total if model.trial is not None else Counts()
    return VariantState(
        champion=variants.champion,
        challenger=variants.challenger,
        percent=variants.percent,
        shadow=variants.shadow,
        answered=total.challenger.answered,
        failed=total.challenger.failed,
        slow=total.challenger.slow,
        agreed=total.compared.agreed,
        disagreed=total.compared.disagreed,
        not_compared=total.compared.failed + total.compared.dropped,
        max_difference=total.compared.max_difference,
        event=model.event,
    )
