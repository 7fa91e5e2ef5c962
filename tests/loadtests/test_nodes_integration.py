"""Three Ray nodes with addresses of their own: one is cut off under load, and nobody is refused for long."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drillyard.core.load import Load
from drillyard.core.settings import Settings
from drillyard.core.slo import DrillPlan, Slo, Strike
from loadtests.launch import run_drill
from loadtests.nodes import serving
from loadtests.nodes.cluster import cluster
from loadtests.nodes.net import Network, NotPermitted, network
from tests.support import tiny_models

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(" " in sys.executable, reason="a head of Ray does not start from a path with a space in it"),
]

STRIKE_AT_S, CUT_S, DURATION_S = 5.0, 25.0, 40.0
BOUND_S = 5  # after which no request may fail any more


@pytest.fixture
def hosts() -> Iterator[Network]:
    try:
        with network(3) as found:
            yield found
    except NotPermitted as refused:
        # Namespaces are for root, and not for every container; `.ci/run` is root.
        pytest.skip(str(refused))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings.from_env({"DRILLYARD_HOME": str(tmp_path / "home")})
    tiny_models.register_both(found.tracking_uri, found.home / "source")
    return found


def test_a_node_is_cut_off_under_load(hosts: Network, settings: Settings, tmp_path: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="dy-", dir="/tmp") as name,
        cluster(hosts, Path(name), cpus=serving.CPUS, environment=serving.ENVIRONMENT, head_environment={}) as nodes,
        serving.served(nodes, settings, "fraud", Path(name)) as served,
    ):
        on_nodes = [len(node.host.processes("ray::ServeReplica:fraud:")) for node in nodes.nodes]
        proxies = [len(node.host.processes("haproxy")) for node in nodes.nodes]
        assert on_nodes == [1, 1, 1]
        assert min(proxies) >= 1
        before = set(served.target.replicas())

        plan = DrillPlan(
            model="fraud",
            load=Load(rate_rps=100, duration_s=DURATION_S),
            slo=Slo(p50_ms=50, p99_ms=500, max_error_rate=0.0),
            strikes=(Strike(fault="cut-node", at_s=STRIKE_AT_S, lasts_s=CUT_S),),
        )
        result = run_drill(
            plan,
            url=served.target.url,
            samples=served.samples,
            out=tmp_path / "drill.json",
            api_key=served.api_key,
            target=served.target,
        )
        after = set(served.target.replicas())
    (mark,) = result.faults
    assert mark.whole_s is not None, "the replica of the lost node was not placed again"
    assert len(after & before) >= 2
    assert len(after - before) >= 1
    failed_late = result.series["errors"][int(mark.struck_s) + BOUND_S :]
    assert sum(failed_late) == 0, result.error_counts
    assert result.errors <= 0.01 * result.requests, result.error_counts
