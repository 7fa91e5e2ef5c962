"""The four dashboards: the server, a drill, the promises' error budgets, a training run.

Names come from where they are defined, and promised numbers from the recorded rules, so that none is written here.
"""

from designs.monitoring.dashboards.drill import drill
from designs.monitoring.dashboards.error_budget import error_budget
from designs.monitoring.dashboards.serving import serving
from designs.monitoring.dashboards.training import training
from designs.monitoring.grafana import Dashboard


def every() -> tuple[Dashboard, ...]:
    """All of them."""
    return serving(), drill(), error_budget(), training()
