"""Alerts made from the designs' promises, held against promtool and against what a drill would say."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

import designs
from designs.design import Design
from designs.monitoring import burn_rules, operations, rules
from designs.monitoring.rule import Alert, Recording
from designs.opened import open_design
from drillyard.core import budget
from drillyard.core.burn import WORKBOOK
from drillyard.core.errors import UsageError
from serving.rollout import Limits
from tests.designs.support.promtool import PASSED, Traffic, burning, case, firing_at, needs_promtool, run

HOUR, DAY = 3_600, 86_400
TICKET = WORKBOOK[-1]
PROMISES = [(name, objective) for name in designs.names() for objective in budget.allowed(designs.get(name).drill)]
WITH_BUDGET = [(name, each) for name, each in PROMISES if budget.allowed(designs.get(name).drill)[each]]


def changed(design: Design, **slo: float) -> Design:
    """The design with another promise."""
    drill = design.drill
    return design.model_copy(update={"drill": drill.model_copy(update={"slo": drill.slo.model_copy(update=slo)})})


def rules_of(design: Design) -> list[Alert | Recording]:
    return [rule for group in burn_rules.groups(design) for rule in group.rules]


def alerts(design: Design) -> list[Alert]:
    return [rule for rule in rules_of(design) if isinstance(rule, Alert)]


def file_of(design: Design) -> str:
    return rules.rule_file(rules.groups([design]))


def test_promtool_accepts_every_rule(tmp_path: Path) -> None:
    needs_promtool()
    found = rules.groups(map(designs.get, designs.names()))
    (tmp_path / "rules.yml").write_text(rules.rule_file(found))
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint-fatal", "rules.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{sum(len(group.rules) for group in found)} rules found" in done.stdout


@pytest.mark.parametrize("name", designs.names())
def test_a_steady_burn_fires_what_a_drill_would_say_of_it(name: str, tmp_path: Path) -> None:
    """Over the longest window: below the promise nothing, a slow burn a ticket, a fast one the pages too."""
    needs_promtool()
    design = designs.get(name)
    expected = {
        0.5: set(),
        2.0: {TICKET.name},
        8.0: {TICKET.name, WORKBOOK[1].name},
        20.0: {rule.name for rule in WORKBOOK},
    }
    cases = []
    for burn, fire in expected.items():
        traffic = burning(design, (int(TICKET.long_s), burn), step_s=120)
        wanted = {(objective, rule) for objective in traffic.bad for rule in fire}
        assert firing_at(traffic.firings(), traffic.seconds) == wanted, "the drill's own rules say the same"
        cases.append(case(traffic, {traffic.seconds: wanted}))
    assert run(tmp_path, design, cases, every_s=12 * HOUR) == PASSED


@pytest.mark.parametrize("name", designs.names())
def test_a_blip_is_silent_and_an_outage_pages_as_long_as_a_drill_would(name: str, tmp_path: Path) -> None:
    """72 times too fast for 6 minutes, and later for 45: pages come after 12 and 24 minutes, and end after it."""
    needs_promtool()
    design = designs.get(name)
    outage_s, after_s = 7 * HOUR + 360, 7 * HOUR + 360 + 2_700
    traffic = burning(design, (6 * HOUR, 0.0), (360, 72.0), (HOUR, 0.0), (2_700, 72.0), (HOUR, 0.0))
    said = [firing for firing in traffic.firings() if firing.severity == "page"]
    assert len(said) == 2 * len(traffic.bad)
    assert all(outage_s < firing.from_s < after_s < (firing.to_s or 0.0) for firing in said)
    changes_s = [time_s for firing in said for time_s in (firing.from_s, firing.to_s or 0.0)]
    blip_s = range(6 * HOUR, outage_s, 120)
    looks_s = sorted({*blip_s, *(int(change_s + aside_s) for change_s in changes_s for aside_s in (-180, 180))})
    wanted = {at_s: firing_at(said, at_s) for at_s in looks_s}
    assert {len(each) for each in wanted.values()} == {0, len(traffic.bad), 2 * len(traffic.bad)}
    found = case(traffic, wanted)
    for look in found["promql_expr_test"]:  # a ticket rests on three days, of which nothing is told here
        look["expr"] = look["expr"].replace('rule!=""', 'rule!="",severity="page"')
    assert run(tmp_path, design, [found], every_s=60) == PASSED


@pytest.mark.parametrize(("name", "objective"), [each for each in PROMISES if each not in WITH_BUDGET])
def test_a_promise_of_no_failure_tells_of_one_and_forgets_it(name: str, objective: str, tmp_path: Path) -> None:
    """As `drillyard.core.burn` has it: any bad request is above what is allowed, until the short window has passed."""
    needs_promtool()
    design = designs.get(name)
    one = Traffic(design=design, bad={objective: ((HOUR, 0.0), (15, 1 / 15), (HOUR, 0.0))}, step_s=15, rps=1.0)
    told = one.firings()
    assert {firing.rule for firing in told} == {rule.name for rule in WORKBOOK}
    looks = (HOUR, HOUR + 60, HOUR + 240, HOUR + 360, HOUR + 1_740, HOUR + 1_860)
    wanted = {at_s: firing_at(told, at_s) for at_s in looks}
    assert len({frozenset(each) for each in wanted.values()}) == 4
    assert run(tmp_path, design, [case(one, wanted)], every_s=30) == PASSED


def test_without_any_request_nothing_is_recorded_and_nothing_fires(tmp_path: Path) -> None:
    needs_promtool()
    design = designs.get(designs.names()[0])
    quiet = Traffic(design=design, bad={budget.AVAILABILITY: ((HOUR, 0.0),)}, step_s=60, rps=0.0)
    found = case(quiet, {HOUR: set()})
    found["promql_expr_test"].append({"expr": burn_rules.recorded(300), "eval_time": f"{HOUR}s", "exp_samples": []})
    assert run(tmp_path, design, [found], every_s=60)[0] == 0


def test_what_no_replica_heard_of_is_held_against_the_promise(tmp_path: Path) -> None:
    """HAProxy's own failures, over HTTP and gRPC, for this model and no other; 4xx are the client's doing."""
    needs_promtool()
    design = designs.get(designs.names()[0])
    model = design.drill.model
    content = {
        "interval": "60s",
        "input_series": [
            {"series": f'drillyard_requests_total{{model="{model}",code="200"}}', "values": "0+60x10"},
            {"series": f'drillyard_requests_total{{model="{model}",code="404"}}', "values": "0+6000x10"},
            {"series": f'drillyard_proxy_failed_total{{backend="http-{model}"}}', "values": "0+20x10"},
            {"series": f'drillyard_proxy_failed_total{{backend="grpc-{model}"}}', "values": "0+20x10"},
            {"series": 'drillyard_proxy_failed_total{backend="http-other"}', "values": "0+6000x10"},
        ],
        "promql_expr_test": [
            {
                "expr": f'sum({burn_rules.recorded(300)}{{objective="availability"}})',
                "eval_time": "10m",
                "exp_samples": [{"labels": "{}", "value": 0.4}],
            }
        ],
    }
    assert run(tmp_path, design, [content], every_s=60)[0] == 0


def test_another_promise_makes_other_rules(tmp_path: Path) -> None:
    """The very traffic that pages under the promise is silent under one that allows ten times as much."""
    needs_promtool()
    design = designs.get("fraud")
    allowed = design.drill.slo.max_error_rate
    traffic = Traffic(design=design, bad={budget.AVAILABILITY: ((2 * HOUR, 20 * allowed),)}, step_s=60)
    end = traffic.seconds
    every = {(budget.AVAILABILITY, rule.name) for rule in WORKBOOK}
    assert run(tmp_path, design, [case(traffic, {end: every})], every_s=600)[0] == 0
    generous = changed(design, max_error_rate=10 * allowed)
    assert run(tmp_path, generous, [case(traffic, {end: every})], every_s=600)[0] != 0
    ticket = {(budget.AVAILABILITY, TICKET.name)}
    assert run(tmp_path, generous, [case(traffic, {end: ticket})], every_s=600)[0] == 0


def test_rules_hold_the_numbers_of_the_promise_and_no_others() -> None:
    design = designs.get("vision")
    before = file_of(design)
    p99_ms, p50_ms = design.drill.slo.p99_ms, design.drill.slo.p50_ms
    assert file_of(changed(design, p99_ms=p99_ms * 2.5)) == before.replace(
        f'le="{p99_ms / 1000:g}"', f'le="{p99_ms * 2.5 / 1000:g}"'
    ).replace(f"vector({p99_ms / 1000:g})", f"vector({p99_ms * 2.5 / 1000:g})")
    assert file_of(changed(design, p50_ms=7)) == before.replace(f"vector({p50_ms / 1000:g})", "vector(0.007)")


def test_a_promise_that_the_server_does_not_count_is_refused() -> None:
    with pytest.raises(UsageError, match=r"slo.p99_ms of fraud=42.* expected a bound of .*: one of .* 30, 50, 75"):
        burn_rules.groups(changed(designs.get("fraud"), p99_ms=42))


def test_every_promise_has_all_alerts_of_the_workbook_with_its_severities() -> None:
    for name, objective in PROMISES:
        found = {a.labels["rule"]: a.severity for a in alerts(designs.get(name)) if a.labels["objective"] == objective}
        assert found == {rule.name: rule.severity for rule in WORKBOOK}


@pytest.mark.parametrize("name", designs.names())
def test_a_budget_is_left_where_one_is_given(name: str, tmp_path: Path) -> None:
    """After a day of half the allowed burn, half of what that day allowed is left."""
    needs_promtool()
    half = burning(designs.get(name), (DAY, 0.5), step_s=600)
    found = case(half, {})
    expr = f"count by (objective) ({burn_rules.LEFT} > 0.499 < 0.501)"
    samples = [{"labels": f'{{objective="{objective}"}}', "value": 1} for objective in half.bad]
    found["promql_expr_test"] = [{"expr": expr, "eval_time": f"{DAY}s", "exp_samples": samples}]
    assert run(tmp_path, designs.get(name), [found], every_s=DAY // 4) == PASSED
    assert {rule.labels["objective"] for rule in rules_of(designs.get(name)) if _left(rule)} == half.bad.keys()


def _left(rule: Alert | Recording) -> bool:
    return isinstance(rule, Recording) and rule.record == burn_rules.LEFT


OPERATIONS = [
    ("DrillyardDown", {'up{job="drillyard"}': "1+0x3 0+0x10"}, {3: False, 8: True}),
    ("DrillyardDown", {"nothing": "0+0x10"}, {0: False, 3: True}),
    ("DrillyardDown", {'up{job="drillyard"}': "1+0x3 0 1+0x10"}, {4: False, 8: False}),
    (
        "DrillyardSheds",
        {
            'drillyard_requests_total{model="m",code="200"}': "0+100x30",
            'drillyard_requests_shed_total{model="m",reason="deadline"}': "0+0x10 0+3x20",
        },
        {10: False, 14: False, 20: True},
    ),
    (
        "DrillyardSheds",
        {
            'drillyard_requests_total{model="m",code="200"}': "0+1000x30",
            'drillyard_proxy_unserved_total{backend="http-m"}': "0+5x30",
        },
        {20: False},
    ),
    (
        "DrillyardChallengerDisagrees",
        {
            'drillyard_comparisons_total{model="m",version="2",outcome="agree"}': "0+80x20",
            'drillyard_comparisons_total{model="m",version="2",outcome="disagree"}': "0+8x20",
        },
        {15: False},
    ),
    (
        "DrillyardChallengerDisagrees",
        {
            'drillyard_comparisons_total{model="m",version="2",outcome="agree"}': "0+80x20",
            'drillyard_comparisons_total{model="m",version="2",outcome="disagree"}': "0+12x20",
            'drillyard_comparisons_total{model="m",version="2",outcome="dropped"}': "0+9000x20",
        },
        {15: True},
    ),
    ("DrillyardInputDrift", {'drillyard_input_drift_psi{model="m",feature="V3"}': "0.3+0x20"}, {9: False, 11: True}),
    ("DrillyardInputDrift", {'drillyard_input_drift_psi{model="m",feature="V3"}': "0.2+0x20"}, {15: False}),
    ("DrillyardScoreDrift", {'drillyard_score_drift_psi{model="m",version="1",output="s"}': "0.3+0x20"}, {11: True}),
]  # fmt: skip


@pytest.mark.parametrize(("alert", "series", "fires"), OPERATIONS, ids=lambda each: each if type(each) is str else "")
def test_operations_alerts_fire_and_stay_silent(
    alert: str, series: dict[str, str], fires: dict[int, bool], tmp_path: Path
) -> None:
    """Times in minutes."""
    needs_promtool()
    assert Limits().disagreed == 0.1, "the series are made for this limit"
    content = {
        "interval": "60s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": "{}", "value": 1}] if wanted else [],
            }
            for minute, wanted in fires.items()
        ],
    }
    status, said = run(tmp_path, designs.get("fraud"), [content], every_s=60)
    assert status == 0, said


def test_what_people_read_of_an_alert_is_filled_in(tmp_path: Path) -> None:
    needs_promtool()
    design = designs.get("fraud")
    traffic = Traffic(design=design, bad={budget.AVAILABILITY: ((HOUR, 0.25),)}, step_s=60)
    found = case(traffic, {})
    (alert,) = [
        each
        for each in alerts(design)
        if each.labels["objective"] == "availability" and each.labels["rule"] == "1 h / 5 min"
    ]
    told = alert.description.replace("{{ $value | humanizePercentage }}", "25%")
    assert re.match(r"25% of the requests of the last 1h failed .* allows 0\.1000%.* 14\.4 times that\.$", told)
    found["alert_rule_test"] = [
        {
            "alertname": alert.alert,
            "eval_time": f"{HOUR}s",
            "exp_alerts": [
                {
                    "exp_labels": {**each.labels, "severity": each.severity},
                    "exp_annotations": {
                        "summary": each.summary,
                        "description": each.description.replace("{{ $value | humanizePercentage }}", "25%"),
                    },
                }
                for each in alerts(design)
                if each.alert == alert.alert
            ],
        }
    ]
    status, said = run(tmp_path, design, [found], every_s=600)
    assert status == 0, said


def test_the_file_is_the_groups_and_says_where_they_come_from() -> None:
    found = rules.groups([designs.get("fraud")])
    text = rules.rule_file(found)
    assert text.startswith("# Written by drillyard, from the promises in designs/")
    assert [group["name"] for group in yaml.safe_load(text)["groups"]] == [
        "drillyard-slo-fraud-days",
        "drillyard-slo-fraud",
        "drillyard-operations",
    ]
    assert operations.JOB in text


def test_the_serving_tiers_error_budget_is_the_one_that_the_fraud_designs_alerts_guard() -> None:
    """Its document names a share of good answers as what the fraud design promises."""
    promised = open_design("serving").figures["promised_ratio"].value
    assert promised == 1 - designs.get("fraud").drill.slo.max_error_rate
