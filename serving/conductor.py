"""What the supervisor does while the server serves: takes commands, judges challengers, follows the registry, and
watches HAProxy."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drillyard.core.contract import ModelCard, ModelRef
from drillyard.core.errors import DrillyardError, UsageError
from drillyard.core.settings import Settings
from serving.artifact import LocalModel, fetch
from serving.broadcast import ServeReplicas
from serving.control import Control
from serving.haproxy import FOLDER, PID_FILE
from serving.loading import load
from serving.logs import LOGGER
from serving.metrics import LifecycleEvent, SupervisorMetrics
from serving.recipes import ServeConfig
from serving.rollout import Limits
from serving.rollouts import Rollouts
from serving.standin import StandIn
from serving.state import VariantState

TICK_S = 1.0
_LAST_TICK_S = 2.0  # how long the end waits for a look that is under way
events = logging.getLogger(LOGGER)


def conduct(
    models: tuple[LocalModel, ...],
    config: ServeConfig,
    settings: Settings,
    run_dir: Path,
    *,
    changed: Callable[[dict[str, VariantState]], None],
    say: Callable[[str], None],
) -> None:
    """Look after the running server, until a signal's exception ends it."""
    metrics, ended = SupervisorMetrics(run_dir / "metrics"), threading.Event()

    def verify(ref: ModelRef, beside: ModelCard) -> ModelCard:
        where, cache = settings.tracking_uri, settings.models
        card = fetch(ref, tracking_uri=where, cache=cache).card
        if card.version == beside.version:
            return card  # served already, so proven already
        exact = ModelRef(name=ref.name, version=card.version)
        return load(exact, tracking_uri=where, cache=cache, threads=config.threads, beside=beside).card

    def tell(model: str, version: str, event: LifecycleEvent, reason: str) -> None:
        metrics.happened(model, version, event)
        events.info("version of %s: %s %s: %s", model, version, event, reason)
        say(f"{model}/{version} {event}: {reason}")

    def changed_unless_ended(variants: dict[str, VariantState]) -> None:
        if not ended.is_set():  # else the record of a server that is gone would come back
            changed(variants)

    haproxy = run_dir / FOLDER
    if (haproxy / PID_FILE).exists():  # on an existing cluster HAProxy is not ours
        stand_in = StandIn(folder=haproxy, port=config.port, ended=ended)
        threading.Thread(target=stand_in.run, name="stand-in", daemon=True).start()
    cards = {model.card.name: model.card for model in models}
    served = {ref: cards[ref.name] for ref in config.models}
    rollouts = Rollouts(served, ServeReplicas(), verify=verify, changed=changed_unless_ended, tell=tell)
    Conductor(rollouts, watch_s=config.watch_s, say=say, ended=ended).run(run_dir)


class Conductor:
    """Everything that changes a running server without restarting it."""

    def __init__(
        self, rollouts: Rollouts, *, watch_s: float | None, say: Callable[[str], None], ended: threading.Event
    ) -> None:
        """`ended` is set when `run` ends, and ends the registry's watcher."""
        self._rollouts, self._watch_s, self._say, self._ended = rollouts, watch_s, say, ended
        self._problems: dict[str, str] = {}  # by model, what the registry's watcher said last

    def run(self, run_dir: Path) -> None:
        """For ever; ends with the exception of a signal.

        The work is done in other threads: an exception that a signal raises in the middle of a call into Ray can be
        swallowed there, and the server would not end.
        """
        control = Control(run_dir, self.answer)
        judging = threading.Thread(target=self.judge, daemon=True)
        judging.start()
        try:
            if self._watch_s is not None:
                threading.Thread(target=self.watch, args=(self._watch_s,), daemon=True).start()
            while True:
                time.sleep(3600)
        finally:
            self._ended.set()
            control.close()
            judging.join(_LAST_TICK_S)

    def judge(self) -> None:
        """Look at the replicas once a second, until the server ends."""
        while not self._ended.wait(TICK_S):
            try:
                self._rollouts.tick()
            except Exception as error:  # the last line: requests are answered without this loop
                if not self._ended.is_set():  # else it is Ray that is going away
                    events.exception("looking at the replicas failed")
                    self._say(f"looking at the replicas failed: {error!r}")

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command of the control socket. Raises DrillyardError."""
        try:
            found = self._carry_out(command.get("command"), command)
        except (KeyError, TypeError) as error:
            raise UsageError("command", command, f"one with all its fields ({error!r})") from None
        return {model: state.model_dump() for model, state in found.items()}

    def _carry_out(self, name: object, command: dict[str, Any]) -> dict[str, VariantState]:
        if name == "status":
            return self._rollouts.state
        if name == "sync":
            return {model: self._rollouts.sync(model) for model in command["models"] or self._rollouts.followed()}
        if name == "rollback":
            return {command["model"]: self._rollouts.rollback(command["model"])}
        if name in ("canary", "shadow"):
            model, version, limits = command["model"], command["version"], Limits(**command["limits"])
            if name == "shadow":
                return {model: self._rollouts.shadow(model, version, limits)}
            return {model: self._rollouts.canary(model, command["percent"], version, limits)}
        raise UsageError("command", name, "status, sync, canary, shadow or rollback")

    def watch(self, every_s: float) -> None:
        """Follow the registry. A registry that cannot be reached, and a version that is refused, change nothing."""
        while not self._ended.wait(every_s):
            for model in self._rollouts.followed():
                self._look_up(model)

    def _look_up(self, model: str) -> None:
        try:
            self._rollouts.sync(model, unasked=True)
            problem = ""
        except DrillyardError as error:
            problem = str(error)
        if problem and problem != self._problems.get(model):
            self._say(f"{model} stays as it is: {problem}")
        self._problems[model] = problem
