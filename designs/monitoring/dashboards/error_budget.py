"""The promises: how much of each budget is left, how fast it burns, and which alerts fire."""

from designs.monitoring import burn_rules
from designs.monitoring.dashboards.parts import query
from designs.monitoring.grafana import Dashboard, Panel, Row, Variable
from designs.monitoring.promql import duration


def error_budget() -> Dashboard:
    """How much of each promise's budget is left, how fast it burns, and which alerts fire."""
    of = 'design=~"$design"'
    names = "{{design}} {{objective}}"
    rates = tuple(
        Panel(
            title=f"Burn rate over {duration(window_s)}",
            says="Bad requests over those that the promise allows; at 1 the budget of 30 days is gone after 30 days.",
            queries=(query(f"{burn_rules.recorded(window_s)}{{{of}}} / ({burn_rules.ALLOWED}{{{of}}} > 0)", names),),
        )
        for window_s in burn_rules.ALERT_WINDOWS_S
    )
    return Dashboard(
        uid="drillyard-error-budget",
        title="drillyard: error budget",
        says="The promises of designs/*/design.py, by the rules that `drillyard observe rules` makes of them.",
        variables=(Variable(metric=burn_rules.ALLOWED, label="design"),),
        span="now-6h",
        rows=(
            Row(
                title="Budget",
                panels=(
                    Panel(
                        title="Left of 30 days",
                        says="A promise that allows no failure has none, and is not here.",
                        queries=(query(f"{burn_rules.LEFT}{{{of}}}", names),),
                        unit="percentunit",
                        kind="stat",
                        width=12,
                        least=None,
                    ),
                    Panel(
                        title="Promised: share that may be bad",
                        says="From the design's SLO.",
                        queries=(query(f"{burn_rules.ALLOWED}{{{of}}}", names),),
                        unit="percentunit",
                        kind="stat",
                        width=12,
                    ),
                    Panel(
                        title="Left of 30 days, over time",
                        says="Flat is well; a step is an incident.",
                        queries=(query(f"{burn_rules.LEFT}{{{of}}}", names),),
                        unit="percentunit",
                        width=12,
                        least=None,
                    ),
                    Panel(
                        title="Alerts that fire",
                        says="Those of the promises and those of operations.",
                        queries=(
                            query(
                                'sum by (alertname, severity, design, objective, rule) (ALERTS{alertstate="firing",'
                                'alertname=~"Drillyard.*"})',
                                "{{severity}}: {{alertname}} {{design}} {{objective}} {{rule}}",
                            ),
                        ),
                        width=12,
                    ),
                ),
            ),
            Row(title="How fast it burns", panels=rates),
        ),
    )
