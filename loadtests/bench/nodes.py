"""Three nodes on one machine: what losing one costs requests and training, measured.

make bench-nodes        (root, Linux; the fraud champion; writes .drillyard/reports/bench-nodes.json)
"""

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from drillyard.core import entry, provenance
from drillyard.core.benchmark import keep, say
from drillyard.core.load import Load
from drillyard.core.settings import Settings
from drillyard.core.slo import DrillPlan, Slo, Strike
from drillyard.stack.redis import redis
from loadtests.bench.faults import row
from loadtests.chaos import faults
from loadtests.launch import run_drill
from loadtests.nodes import serving, training
from loadtests.nodes.cluster import Node, cluster
from loadtests.nodes.net import Network, network
from loadtests.nodes.serving import Served

MODEL, RECIPE, NODES = "fraud", "base", 3
FAULTS = ("kill-node", "cut-node", "kill-head")
STRIKE_AT_S, AFTER_S = 10.0, 35.0
SLO = Slo(p50_ms=10, p99_ms=50, max_error_rate=0.0)  # what the design promises on one machine, and no lost request


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=300, help="requests a second, Poisson")
    parser.add_argument("--faults", nargs="*", default=FAULTS, help=", ".join(FAULTS))
    parser.add_argument("--no-training", action="store_true", help="only serve")
    options = parser.parse_args()
    settings, origin = Settings.from_env(os.environ), provenance.stamp()
    content: dict[str, Any] = {**origin, "nodes": NODES, "rate_rps": options.rate, "serving": []}
    with network(NODES) as hosts:
        for name in options.faults:  # each with a cluster of its own: none begins with what another left
            content["serving"].append(struck(name, hosts, settings, options.rate))
            say(str(content["serving"][-1]))
        if not options.no_training:
            content["training"] = trained(hosts)
            say(str(content["training"]))
    path = keep(settings, "bench-nodes", content)
    sys.stdout.write(f"figures: {path}\n")


def struck(name: str, hosts: Network, settings: Settings, rate_rps: float) -> dict[str, Any]:
    """One drill with that fault against a cluster that serves; a row of the table."""
    fault = faults.get(name)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(_scratch()))
        state = stack.enter_context(redis(folder / "redis", host=hosts.gateway))
        nodes = stack.enter_context(
            cluster(
                hosts,
                folder,
                cpus=serving.CPUS,
                environment=serving.ENVIRONMENT,
                head_environment=state.ray_environment,
            )
        )
        served = stack.enter_context(serving.served(nodes, settings, MODEL, folder))
        load = Load(rate_rps=rate_rps, duration_s=STRIKE_AT_S + fault.lasts_s + AFTER_S)
        plan = DrillPlan(model=MODEL, load=load, slo=SLO, strikes=(Strike(fault=name, at_s=STRIKE_AT_S),))
        return _row(plan, served)


def _row(plan: DrillPlan, served: Served) -> dict[str, Any]:
    before = served.target.replicas()
    out = served.target.settings.reports / f"nodes-{plan.strikes[0].fault}.json"
    result = run_drill(
        plan, url=served.target.url, samples=served.samples, out=out, api_key=served.api_key, target=served.target
    )
    after = served.target.replicas()
    return {**row(result), "replicas": len(before), "replicas_placed_again": len(set(after) - set(before))}


def trained(hosts: Network) -> dict[str, Any]:
    """The same training twice, undisturbed and with a worker's node killed after its first epoch."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(_scratch()))
        # A home of its own: what is trained here is no candidate for anybody's champion.
        home = {"DRILLYARD_HOME": str(folder / "home"), "MLFLOW_TRACKING_URI": ""}
        settings = Settings.from_env({**os.environ, **home})
        nodes = stack.enter_context(cluster(hosts, folder, cpus=training.CPUS, environment={}, head_environment={}))
        whole = training.train(nodes, settings, MODEL, RECIPE)
        killed: list[Node] = []

        def kill_after_the_first(epoch: int, with_workers: list[Node]) -> None:
            if epoch == 1:
                killed.append(next(node for node in with_workers if node is not nodes.head))
                killed[0].kill()

        lossy = training.train(nodes, settings, MODEL, RECIPE, kill_after_the_first)
        names = ("metrics", "train_s", "total_s", "restarts", "began_on")
        return {
            "recipe": RECIPE,
            "workers": training.WORKERS,
            "undisturbed": {name: whole[name] for name in names},
            "node_killed": {name: lossy[name] for name in names},
        }


def _scratch() -> "tempfile.TemporaryDirectory[str]":
    """Below /tmp, since the paths of unix sockets end at 107 bytes."""
    return tempfile.TemporaryDirectory(prefix="dy-", dir="/tmp", ignore_cleanup_errors=True)


if __name__ == "__main__":
    entry.run(main)
