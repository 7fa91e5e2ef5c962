"""How many machines a demand takes that this one cannot hold, and what they cost: arithmetic on named assumptions.

A node is taken to do what one was measured (or predicted by the twin) to do, and nodes to share nothing: the balancer
in front of them and the network are outside of this plan.
"""

import math

from pydantic import Field, PositiveFloat, PositiveInt

from drillyard.core.contract import Frozen
from drillyard.core.errors import UsageError

HOURS_PER_MONTH = 730.0  # a year's hours over twelve


class Demand(Frozen):
    """What is asked at the busiest moment, over all regions."""

    peak_rps: PositiveFloat  # requests a second
    mean_share: float = Field(default=1.0, gt=0, le=1)  # mean rate over the day / peak rate
    regions: PositiveInt = 1  # each takes an equal part, and stands alone: no region helps another
    zones_per_region: PositiveInt = 1
    lost_zones: int = Field(default=0, ge=0)  # of each region, that may be lost at the peak


class NodeType(Frozen):
    """One kind of machine: what it carries within the promise, how far it may be filled, its price."""

    capacity_rps: PositiveFloat  # the highest sustainable rate of one node: measured, or the twin's
    usd_per_hour: PositiveFloat
    utilisation_target: float = Field(default=0.6, gt=0, le=1)  # share of the capacity used at the peak, after the loss
    capacity_source: str = "assumed"  # where the capacity comes from, such as a result file with commit and machine


class Plan(Frozen):
    """Nodes and cost, with each figure that leads to them."""

    demand: Demand
    node: NodeType
    usable_rps_per_node: float
    rps_per_region: float
    nodes_per_zone: int
    nodes_per_region: int
    nodes: int
    utilisation_at_peak: float  # share of the capacity, all zones up
    utilisation_after_loss: float  # the same while `lost_zones` zones of the region are gone
    headroom_rps: float  # what all nodes carry within their capacity, above the peak, all zones up
    usd_per_hour: float
    usd_per_month: float
    usd_per_million_requests: float  # at the mean rate
    assumptions: tuple[str, ...]


def plan(demand: Demand, node: NodeType) -> Plan:
    """The fewest nodes, equal in all zones, that keep the utilisation target while the zones named are lost.

    Raises UsageError when no zone is left.
    """
    standing = demand.zones_per_region - demand.lost_zones
    if standing < 1:
        raise UsageError("lost_zones", demand.lost_zones, f"fewer than zones_per_region, {demand.zones_per_region}")
    usable = node.capacity_rps * node.utilisation_target
    per_region = demand.peak_rps / demand.regions
    per_zone = math.ceil(round(per_region / standing / usable, 9))  # 3.0000000000000004 nodes are three
    in_region = per_zone * demand.zones_per_region
    nodes = in_region * demand.regions
    usd_per_hour = nodes * node.usd_per_hour
    return Plan(
        demand=demand,
        node=node,
        usable_rps_per_node=usable,
        rps_per_region=per_region,
        nodes_per_zone=per_zone,
        nodes_per_region=in_region,
        nodes=nodes,
        utilisation_at_peak=per_region / (in_region * node.capacity_rps),
        utilisation_after_loss=per_region / (per_zone * standing * node.capacity_rps),
        headroom_rps=nodes * node.capacity_rps - demand.peak_rps,
        usd_per_hour=usd_per_hour,
        usd_per_month=usd_per_hour * HOURS_PER_MONTH,
        usd_per_million_requests=usd_per_hour / (demand.peak_rps * demand.mean_share * 3600) * 1e6,
        assumptions=_assumptions(demand, node),
    )


def _assumptions(demand: Demand, node: NodeType) -> tuple[str, ...]:
    """What the figures rest on, in words."""
    return (
        f"a node carries {node.capacity_rps:,.0f} requests/s within the promise ({node.capacity_source})",
        f"nodes are filled to {node.utilisation_target:.0%} of that at the peak, with {demand.lost_zones} of "
        f"{demand.zones_per_region} zones of every region lost",
        f"{demand.regions} regions take equal parts of the traffic and do not help each other",
        "capacity grows in proportion to nodes: they share no database, cache or lock",
        f"a node costs {node.usd_per_hour:g} USD an hour, always on; mean rate: {demand.mean_share:.0%} of the peak",
        "load balancers, traffic between zones and regions, and people are not in the cost",
    )
