"""All rules, as one file."""

from collections.abc import Iterable

import yaml

from designs.design import Design
from designs.monitoring import burn_rules, operations
from designs.monitoring.rule import Group, document

HEADER = "# Written by drillyard, from the promises in designs/*/design.py; change those, and write this again.\n"


def groups(designs: Iterable[Design]) -> list[Group]:
    """Those of each design's promise, and one of what no promise shows. Raises UsageError."""
    return [*(group for design in designs for group in burn_rules.groups(design)), operations.group()]


def rule_file(found: list[Group]) -> str:
    """The groups as Prometheus reads them."""
    return HEADER + as_yaml(document(found))


def as_yaml(content: object) -> str:
    """YAML in the order given, an expression on one line."""
    return yaml.safe_dump(content, sort_keys=False, width=10_000)
