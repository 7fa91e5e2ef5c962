"""A metric that a running command exports to Prometheus: what crosses from who counts to who asks."""

from typing import Literal

from drillyard.core.contract import Frozen


class ExportedMetric(Frozen):
    """One exported name; docs/observability.md lists them from where they are defined."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
