"""Node counts and costs against arithmetic done by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from designs.plan import Demand, NodeType, plan
from drillyard.core.errors import UsageError

MILLION = Demand(peak_rps=1_000_000, mean_share=0.5, regions=4, zones_per_region=3, lost_zones=1)
NODE = NodeType(capacity_rps=2_000, usd_per_hour=0.1, utilisation_target=0.5)


def test_a_million_requests_a_second_by_hand() -> None:
    """250,000 a region over 2 standing zones at 1,000 a node: 125 nodes a zone, 3 zones, 4 regions."""
    found = plan(MILLION, NODE)
    assert (found.nodes_per_zone, found.nodes_per_region, found.nodes) == (125, 375, 1500)
    assert found.utilisation_after_loss == pytest.approx(0.5)
    assert found.utilisation_at_peak == pytest.approx(1 / 3)
    assert found.headroom_rps == pytest.approx(2_000_000)
    assert found.usd_per_month == pytest.approx(150 * 730)
    assert found.usd_per_million_requests == pytest.approx(150 / (500_000 * 3600) * 1e6)
    assert any("2,000 requests/s" in line for line in found.assumptions)


def test_a_region_that_may_lose_all_its_zones_is_refused() -> None:
    with pytest.raises(UsageError, match="lost_zones"):
        plan(MILLION.model_copy(update={"lost_zones": 3}), NODE)


@settings(derandomize=True, max_examples=50)
@given(peak=st.floats(1, 1e7), zones=st.integers(2, 5), capacity=st.floats(1, 1e4), target=st.floats(0.1, 1))
def test_it_is_the_smallest_plan_that_survives_the_loss(
    peak: float, zones: int, capacity: float, target: float
) -> None:
    demand = Demand(peak_rps=peak, zones_per_region=zones, lost_zones=1)
    found = plan(demand, NodeType(capacity_rps=capacity, usd_per_hour=1, utilisation_target=target))
    assert found.utilisation_after_loss <= target * (1 + 1e-6)
    if found.nodes_per_zone > 1:
        one_less = (found.nodes_per_zone - 1) * (zones - 1) * capacity * target
        assert one_less < peak
