"""Undocumented is a failing test, and what the documents say to type is typed."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from drillyard.cli.app import app

ROOT = Path(__file__).parents[1]
DOCS = {path.relative_to(ROOT): path.read_text() for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]}
EVERYTHING = "\n".join(DOCS.values())

sys.path.insert(0, str(ROOT / "docs"))
import tables  # noqa: E402  (the documentation's own helper)


def commands() -> list[str]:
    from typer.main import get_command

    return [path for path, _ in tables._leaves(get_command(app), "drillyard")]


@pytest.mark.parametrize("command", commands())
def test_each_command_is_documented_and_its_help_has_an_example(command: str) -> None:
    assert command in DOCS[Path("README.md")]
    result = CliRunner().invoke(app, [*command.split()[1:], "--help"])
    assert result.exit_code == 0
    assert "Example: drillyard" in " ".join(result.output.split())


def test_each_setting_is_documented() -> None:
    fields = re.findall(r"^    \w+: .*# (\w+):", (ROOT / "drillyard/core/settings.py").read_text(), flags=re.MULTILINE)
    assert len(fields) == 7
    assert [name for name in fields if f"`{name}`" not in DOCS[Path("docs/settings.md")]] == []


def test_each_recipe_and_metric_is_documented() -> None:
    for line in [
        *tables.recipes().splitlines(),
        *tables.metrics().splitlines(),
        *tables.sources().splitlines(),
        *tables.drill_metrics().splitlines(),
        *tables.training_metrics().splitlines(),
    ]:
        assert line in EVERYTHING


def test_each_drill_is_documented() -> None:
    lines = tables.drills().splitlines()
    assert len(lines) > 12
    assert [line for line in lines if line not in DOCS[Path("docs/drills.md")]] == []


def test_each_promise_alert_and_recorded_series_is_documented() -> None:
    for line in [*tables.promises().splitlines(), *tables.alerts().splitlines(), *tables.recorded().splitlines()]:
        assert line in DOCS[Path("docs/observability.md")]


def test_each_log_field_is_documented() -> None:
    for line in tables.log_fields().splitlines():
        assert line in DOCS[Path("docs/observability.md")]


def documented_calls() -> list[str]:
    found = re.findall(r"`(drillyard [a-z][^`]*)`", EVERYTHING)
    return sorted({call for call in found if not re.search(r"[A-Z.]{3}|\[|…", call)})


@pytest.mark.parametrize("call", documented_calls())
def test_each_documented_call_parses(call: str) -> None:
    """With --help at its end a call is parsed but not carried out; a wrong option or command would show."""
    words = shlex.split(call)[1:]
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0, result.output
    known = {option for line in result.output.splitlines() for option in re.findall(r"--[a-z-]+", line)}
    assert {word for word in words if word.startswith("--")} <= known


def test_each_test_that_a_document_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", EVERYTHING)
    assert len(named) > 20
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text()]
    assert missing == []


def test_each_measure_of_security_names_its_test() -> None:
    _, _, table = DOCS[Path("docs/security.md")].partition("## Measures")
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 20
    assert [row for row in rows if not re.search(r"\| `tests/[\w/]+\.py::\w+` \|$", row)] == []


@pytest.mark.parametrize("path", DOCS, ids=str)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", DOCS[path]):
        if not target.startswith("http"):
            assert (ROOT / path.parent / target).exists(), target


def test_make_targets_named_in_the_documents_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make ([a-z-]+)`", EVERYTHING)) | {"demo", "test"}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
