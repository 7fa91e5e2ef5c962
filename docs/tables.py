"""Tables in the documentation that are made from code; run by cog (`make format`). Measured ones: measured, drilled."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def commands() -> str:
    """Every command with the first line of its help and its example."""
    from typer.main import get_command

    from drillyard.cli.app import app

    rows = []
    for path, command in _leaves(get_command(app), "drillyard"):
        text = " ".join((command.help or "").split())
        summary, _, example = text.partition("Example: ")
        rows.append([f"`{path}`", summary.split(". ")[0].rstrip(".").strip() + ".", f"`{example}`"])
    return table(["command", "what it does", "example"], rows)


def _leaves(command: Any, path: str) -> Iterable[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name in sorted(children):
        yield from _leaves(children[name], f"{path} {name}")


def settings() -> str:
    """Every environment variable, from the comments beside the fields."""
    source = (ROOT / "drillyard" / "core" / "settings.py").read_text()
    rows = re.findall(r"^    \w+: .*?# (\w+): (.*)$", source, flags=re.MULTILINE)
    return table(["variable", "meaning and default"], [[f"`{name}`", text] for name, text in rows])


def sources() -> str:
    """Every data set with origin, licence and places."""
    from pipelines.sources import SOURCES

    rows = []
    for source in SOURCES.values():
        places = "; ".join(dict.fromkeys(str(place).rsplit("/", 1)[0] for f in source.files for place in f.places))
        rows.append([f"`{source.name}`", source.licence, source.origin, places or "made in memory"])
    return table(["data set", "licence", "origin", "places, in order"], rows)


def hashes() -> str:
    """Every pinned file."""
    from pipelines.sources import SOURCES

    rows = [
        [f"`{source.name}`", f"`{file.name}`", f"`{file.sha256}`" if file.sha256 else "not pinned"]
        for source in SOURCES.values()
        for file in source.files
    ]
    return table(["data set", "file", "sha256"], rows)


def recipes() -> str:
    """Every recipe and the trade it stands for."""
    from pipelines import system

    rows = []
    for name in system.names():
        for make in system.get(name).recipes().values():
            recipe = make()
            rows.append([f"`{name}`", f"`{recipe.name}`", f"`{recipe.dataset}`", recipe.purpose])
    return table(["system", "recipe", "data set", "what it is for"], rows)


def metrics() -> str:
    """Every metric that the server exports."""
    from serving import catalogue

    rows = [
        [
            f"`{metric.exposed_name}`",
            metric.kind,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.help.rstrip("."),
        ]
        for metric in catalogue.ALL
    ]
    return table(["metric", "type", "labels", "what it says"], rows)


def drill_metrics() -> str:
    """Every metric that a running drill exports."""
    from loadtests.generator import exporter

    return table(["metric", "type", "labels", "what it says"], [_exported(metric) for metric in exporter.ALL])


def training_metrics() -> str:
    """Every metric that a running training exports."""
    from pipelines import exporter

    return table(["metric", "type", "labels", "what it says"], [_exported(metric) for metric in exporter.ALL])


def _exported(metric: Any) -> list[str]:
    return [f"`{metric.name}`", metric.kind, ", ".join(f"`{label}`" for label in metric.labels), metric.help]


def recorded() -> str:
    """Every series that the rules record."""
    from designs.monitoring import burn_rules

    windows = ", ".join(
        f"`{burn_rules.recorded(window_s).removeprefix(burn_rules.BAD_SHARE)}`" for window_s in burn_rules.WINDOWS_S
    )
    return table(
        ["series", "labels", "what it says"],
        [
            [
                f"`{burn_rules.BAD_SHARE}WINDOW`",
                _OF_PROMISE,
                f"Share of the requests that was bad over the window: {windows}",
            ],
            [f"`{burn_rules.ALLOWED}`", _OF_PROMISE, "Share that the promise lets be bad"],
            [
                f"`{burn_rules.LEFT}`",
                _OF_PROMISE,
                "Share of the budget of 30 days that is left; absent where none is given",
            ],
            [f"`{burn_rules.PROMISED}`", "`design`, `model`, `quantile`", "The promised latency"],
        ],
    )


_OF_PROMISE = "`design`, `model`, `objective`"


def promises() -> str:
    """What each design promises, and the burn at which its alerts begin."""
    import designs
    from drillyard.core import budget
    from drillyard.core.burn import WORKBOOK

    rows = []
    for name in designs.names():
        plan = designs.get(name).drill
        for objective, allowed in budget.allowed(plan).items():
            begins = [f"{allowed * rule.factor:.3%}" if allowed else "any" for rule in WORKBOOK]
            rows.append([f"`{name}`", f"`{plan.model}`", objective, f"{allowed:.2%}", *begins])
    heads = [f"{rule.severity}: {rule.name}, above" for rule in WORKBOOK]
    return table(["design", "model", "objective", "may be bad", *heads], rows)


def alerts() -> str:
    """Every alert that is no promise's."""
    from designs.monitoring import operations
    from designs.monitoring.promql import duration

    rows = [
        [f"`{rule.alert}`", rule.severity, duration(rule.for_s) if rule.for_s else "at once", f"`{rule.expr}`"]
        for rule in operations.group().rules
    ]
    return table(["alert", "severity", "after", "while"], rows)


def label_values() -> str:
    """What the labels with a fixed set of values may be."""
    from typing import get_args

    from serving import metrics

    kinds = {
        "variant": metrics.Variant,
        "reason": metrics.ShedReason,
        "outcome": metrics.Comparison,
        "event": metrics.LifecycleEvent,
    }
    return table(
        ["label", "values"],
        [[f"`{name}`", ", ".join(f"`{value}`" for value in get_args(kind))] for name, kind in kinds.items()],
    )


def log_fields() -> str:
    """Every field of a log line."""
    from serving import logs

    return table(["field", "what it says"], [[f"`{name}`", text] for name, text in logs.FIELDS.items()])


def drills() -> str:
    """The catalogue of drills, with the hypothesis that each makes of the fraud design."""
    import designs
    from loadtests.catalogue.drills import CATALOGUE

    rows = []
    for name, drill in CATALOGUE.items():
        hypothesis = drill.planned(designs.get("fraud").drill).hypothesis
        rows.append([f"`{name}`", drill.teaches, hypothesis.text if hypothesis else ""])
    return table(["drill", "what it teaches", "hypothesis"], rows)


def issue_pack() -> str:
    """Each known failure: symptom, what shows it, cure."""
    from loadtests.issue_pack.issues import ISSUES

    rows = []
    for make in ISSUES.values():
        issue = make("any")
        rows.append([f"`{issue.name}`", issue.symptom, issue.shows, issue.fix])
    return table(["issue", "symptom", "what shows it", "cure"], rows)


def recipes_of_issues() -> str:
    """The named changes of a server's settings."""
    from serving.mistakes import CHANGES

    rows = [[f"`{name}`", " ".join((change.__doc__ or "").split())] for name, change in CHANGES.items()]
    return table(["recipe", "what it changes"], rows)


def fault_catalogue() -> str:
    """Every fault that can strike during a drill."""
    from loadtests.chaos.faults import FAULTS

    rows = [
        [
            f"`{fault.name}`",
            fault.purpose,
            f"{fault.lasts_s:g} s" if fault.lasts_s else "at once",
            "yes" if fault.may_fail else "no",
        ]
        for fault in FAULTS.values()
    ]
    return table(["fault", "what is done", "lasts", "may lose requests"], rows)
