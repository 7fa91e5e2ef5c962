"""Drills with a fault in them, one for each of the catalogue, and drills whose requests are not the model's samples."""

from drillyard.core.load import Spike
from drillyard.core.slo import DrillPlan, Strike
from drillyard.core.summary import LARGE_PSI
from drillyard.core.traffic import Drift, Poison, Retries
from loadtests.catalogue.entry import Drill, at_least, at_most, base, expecting, promise, reshaped
from loadtests.chaos import faults
from loadtests.chaos.faults import Fault

STRIKE_AT_S, AFTER_S = 5.0, 12.0  # before the fault the usual state shows, after it the recovery
HEALED_S = 20.0  # after the injection was over
BUDGET = 0.1  # retries for each request


def _with(fault: Fault) -> Drill:
    def plan(design: DrillPlan) -> DrillPlan:
        struck = design.model_copy(update={"strikes": (Strike(fault=fault.name, at_s=STRIKE_AT_S),)})
        recovered = at_most(f"extra.faults.{fault.name}.recovered_after_s", fault.lasts_s + HEALED_S)
        within = f"{fault.lasts_s + HEALED_S:g} s after the blow processes and answers are as before"
        if fault.may_fail:
            return expecting(struck, f"Requests may be lost, and {within}.", recovered)
        lossless = at_most("extra.error_rate", design.slo.max_error_rate)
        return expecting(struck, f"No more requests fail than promised, and {within}.", lossless, recovered)

    lasts_s = STRIKE_AT_S + fault.lasts_s + AFTER_S
    return Drill(
        name=fault.name,
        teaches=f"Fault: {fault.purpose}.",
        duration_s=max(25.0, lasts_s),
        plan=plan,
        serve=fault.serve,
    )


def _poison(design: DrillPlan) -> DrillPlan:
    text = "A tenth of the requests is malformed and refused with a 4xx; the good ones do not notice."
    poisoned = design.model_copy(update={"traffic": Poison()})
    return expecting(poisoned, text, *promise(design), at_least("extra.rejected", 1))


def _drift(design: DrillPlan) -> DrillPlan:
    text = (
        f"Answers come as promised, and a stability index above {LARGE_PSI:g} tells that the inputs are from elsewhere."
    )
    drifted = design.model_copy(update={"traffic": Drift(strength=1.0)})
    return expecting(drifted, text, *promise(design), at_least("extra.server.input_drift_psi", LARGE_PSI))


def _storm(design: DrillPlan) -> DrillPlan:
    """Ten times the load for a third of the time, and clients that ask again without a pause."""
    third_s = base(design).duration_s / 3
    spiked = reshaped(design, Spike(factor=10.0, at_s=third_s, lasts_s=third_s), times=0.5)
    text = "Clients that ask again at once multiply an overload; one second after it the promise holds all the same."
    stormy = spiked.model_copy(update={"retries": Retries(attempts=4)})
    return expecting(stormy, text, *promise(design, "after"))


def _restrained(design: DrillPlan) -> DrillPlan:
    restrained = Retries(attempts=4, backoff_s=0.1, budget=BUDGET)
    text = f"With pauses and a budget, clients send at most {1 + 1.5 * BUDGET:g} times what they were asked for."
    plan = _storm(design).model_copy(update={"retries": restrained})
    bound = at_most("extra.sends_per_request", 1 + 1.5 * BUDGET)
    return expecting(plan, text, *promise(design, "after"), bound)


STRUCK = tuple(_with(fault) for fault in faults.FAULTS.values() if not fault.special)
TRAFFIC = (
    Drill(
        name="poison",
        teaches="Malformed requests among good ones: who sends nonsense is told so, and nobody else pays for it.",
        plan=_poison,
    ),
    Drill(
        name="drift",
        teaches="Inputs from elsewhere: every answer looks fine, and only the drift metrics tell.",
        plan=_drift,
    ),
    Drill(
        name="retry-storm",
        teaches="Clients without restraint: an overload that its callers multiply.",
        duration_s=30,
        plan=_storm,
    ),
    Drill(
        name="retry-budget",
        teaches="The same overload with clients that pause, and share a budget of retries.",
        duration_s=30,
        plan=_restrained,
    ),
)
