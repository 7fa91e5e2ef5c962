"""The faults that can strike a running server of this machine during a drill, by name."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from drillyard.core.errors import UsageError
from loadtests.chaos import injections, neighbour, versions
from loadtests.chaos.injections import Find, Inject
from loadtests.chaos.target import Target
from loadtests.nodes import faults as of_nodes

Prepare = Callable[[Target], AbstractContextManager[Inject]]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is done, and how many processes of which kind tell that it is over."""

    name: str
    purpose: str
    prepare: Prepare  # before the load: gives what strikes on entering and undoes on leaving; tidies up after the load
    heals: Find = Target.replicas  # complete again when it counts as many processes as before
    lasts_s: float = 0.0  # between entering and leaving
    replaces: bool = False  # struck processes are replaced; else the same ones go on
    may_fail: bool = False  # lost requests are expected, and stated
    serve: tuple[str, ...] = ("--replicas", "2")  # options of `drillyard serve up` that it needs
    special: bool = False  # it needs a server that was started for it, so no drill of the catalogue has it


def at_once(inject: Inject) -> Prepare:
    """Nothing to prepare."""
    return lambda _: nullcontext(inject)


FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            name="kill-replica",
            purpose="kill -9 one of two replicas",
            prepare=at_once(injections.kill(Target.replicas)),
            replaces=True,
        ),
        Fault(
            name="freeze-replica",
            purpose="SIGSTOP one of two replicas for 5 s",
            prepare=at_once(injections.freeze(Target.replicas)),
            lasts_s=5.0,
        ),
        Fault(
            name="sick-replica",
            purpose="freeze one of two replicas for 60 s: its health check fails and it is replaced",
            prepare=at_once(injections.freeze(Target.replicas)),
            lasts_s=60.0,
            replaces=True,
        ),
        Fault(
            name="leak-replica",
            purpose="one of two replicas leaks 1.25 GiB: its health check fails and it is replaced",
            prepare=at_once(injections.leak_in(Target.replicas, 5 * 2**28)),
            special=True,
            lasts_s=30.0,
            replaces=True,
        ),
        Fault(
            name="slow-model",
            purpose="every replica stands still for 120 ms of every 160 ms, for 10 s",
            prepare=at_once(injections.slow(Target.replicas, still_s=0.12, period_s=0.16)),
            lasts_s=10.0,
            may_fail=True,
        ),
        Fault(
            name="rolling-restart",
            purpose="SIGTERM to one replica after the other, each once the one before was replaced",
            prepare=at_once(injections.roll(Target.replicas)),
            replaces=True,
            may_fail=True,
        ),
        Fault(
            name="hot-model",
            purpose="another model of the same server is asked 1,500 times a second, for 10 s",
            prepare=at_once(neighbour.hot),
            lasts_s=10.0,
            may_fail=True,
            serve=(),
        ),
        Fault(
            name="cold-start",
            purpose="kill -9 every replica: the load meets a model that is only starting",
            prepare=at_once(injections.kill(Target.replicas, every=True)),
            replaces=True,
            may_fail=True,
        ),
        Fault(
            name="kill-controller",
            purpose="kill -9 Serve's controller",
            prepare=at_once(injections.kill(Target.controller)),
            heals=Target.controller,
            replaces=True,
        ),
        Fault(
            name="new-version",
            purpose="a new champion is registered, and the server moves to it",
            prepare=versions.newer,
        ),
        Fault(
            name="damaged-version",
            purpose="a champion whose file is damaged: the server refuses it",
            prepare=versions.damaged,
        ),
        Fault(
            name="worse-version",
            purpose="a challenger with worse weights answers a fifth of the requests until it is rolled back",
            prepare=versions.worse,
            lasts_s=30.0,
            may_fail=True,
        ),
        Fault(
            name="registry-gone",
            purpose="the registry is lost for a minute, and the server is asked to follow it",
            prepare=at_once(injections.lose_registry),
            lasts_s=60.0,
        ),
        Fault(
            name="kill-haproxy",
            purpose="kill -9 HAProxy, the only one of this node",
            prepare=at_once(injections.kill(Target.haproxy)),
            heals=Target.haproxy,
            replaces=True,
            may_fail=True,
        ),
        Fault(
            name="kill-node",
            purpose="everything on one of three nodes is killed",
            prepare=at_once(of_nodes.kill_node),
            special=True,
            serve=(),
            replaces=True,
        ),
        Fault(
            name="cut-node",
            purpose="one of three nodes is cut off the network for 45 s",
            prepare=at_once(of_nodes.cut_node),
            special=True,
            serve=(),
            lasts_s=45.0,
            replaces=True,
        ),
        Fault(
            name="kill-head",
            purpose="everything on the head node is killed; it is started again 5 s later",
            prepare=at_once(of_nodes.kill_head),
            heals=of_nodes.replicas_and_controller,
            special=True,
            serve=(),
            replaces=True,
        ),
    )
}


def get(name: str) -> Fault:
    """Raises UsageError."""
    try:
        return FAULTS[name]
    except KeyError:
        raise UsageError("fault", name, "one of " + ", ".join(FAULTS)) from None
