"""The documents themselves: every number bound and true, and a changed number is caught."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import designs
from designs import evidence, verify, whatif
from designs.opened import open_design
from designs.verify import prose
from drillyard.cli.app import app
from drillyard.cli.design import is_command
from drillyard.cli.walk import asked, pages
from drillyard.core.errors import UsageError

ROOT = Path(__file__).parents[2]
SECTIONS = (
    "Requirements",
    "Estimation",
    "Data and labels",
    "Model and alternatives",
    "Which metric, and why",
    "Serving",
    "Capacity",
    "Failure modes",
    "Rollout and rollback",
    "Monitoring",
    "Cost",
    "Decisions",
    "Questions",
)


@pytest.mark.parametrize("name", designs.names())
def test_every_number_is_bound_true_and_fresh(name: str) -> None:
    report = verify.verify(name, is_command=is_command, claims=False)
    assert report.problems == ()
    assert report.bound > 100


_LAST_DIGIT = re.compile(r"(\d)(%?<!--[a-z][\w.]*(?:[*/][\d.e]+)?-->)")


def _other(match: re.Match[str]) -> str:
    return str((int(match[1]) + 1) % 10) + match[2]


@pytest.mark.parametrize("name", designs.names())
def test_a_changed_number_in_the_prose_is_caught(name: str) -> None:
    opened = open_design(name)
    text = opened.readme.read_text()
    assert prose(text, opened) == []
    assert len(prose(_LAST_DIGIT.sub(_other, text, count=1), opened)) == 1
    every, count = _LAST_DIGIT.subn(_other, text)
    assert count > 100
    assert len(prose(every, opened)) == count


def test_an_unbound_number_in_the_prose_is_caught() -> None:
    opened = open_design("fraud")
    assert prose("It takes 5 ms.", opened) == ["README.md:1: 5 is bound to no figure"]
    assert prose("It takes 5<!--speed--> ms.", opened) == ["README.md:1: 5 is bound to speed, which is no figure"]


@pytest.mark.parametrize("name", designs.names())
def test_a_changed_number_in_the_evidence_is_caught(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads(evidence.path_of(name).read_text())
    key = next(key for key, entry in content.items() if "result" in entry and entry["value"])
    content[key]["value"] *= 0.99
    (tmp_path / "evidence.json").write_text(json.dumps(content))
    monkeypatch.setattr(evidence, "path_of", lambda design: tmp_path / "evidence.json")
    report = verify.verify(name, is_command=is_command, claims=False)
    assert any(problem.startswith(f"{key}: value is") for problem in report.problems)


def test_a_changed_claim_is_caught_when_it_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("designs.serving.claims.LEAST_CPU_S", 0.005)
    opened = open_design("serving")
    claims = {source.key: source for source in opened.design.evidence if source.kind == "claim"}
    wrong = opened.evidence["queue_timeout_ms"].model_copy(update={"value": 21.0})
    off = opened.evidence["decode_speedup"].model_copy(update={"value": 1000.0})
    found = verify._Findings()
    verify._check_claim("serving", claims["queue_timeout_ms"], wrong, found, claims=True)
    verify._check_claim("serving", claims["decode_speedup"], off, found, claims=True)
    assert len(found.problems) == 2
    assert "computed again 20" in found.problems[0]
    assert "a factor of" in found.problems[1]


def test_a_result_that_was_measured_again_makes_evidence_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads((evidence.RESULTS / "bench-overload.json").read_text())
    content["bars"]["goodput_ratio"]["median"] = 0.5
    content["commit"] = "0" * 12
    for path in evidence.RESULTS.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "bench-overload.json").write_text(json.dumps(content))
    monkeypatch.setattr(evidence, "RESULTS", tmp_path)
    problems = verify.verify("serving", is_command=is_command, claims=False).problems
    assert any(problem.startswith("overload_goodput_ratio: value is") for problem in problems)
    assert any(problem.startswith("overload_goodput_ratio: commit is") for problem in problems)


def test_other_code_makes_quality_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        verify.freshness, "working_tree", lambda path: "CODE = 1\ndef base(): pass\ndef read_csv(): pass"
    )
    opened = open_design("fraud")
    source = next(source for source in opened.design.evidence if source.key == "average_precision")
    found = verify._Findings()
    verify._check_result(source, opened.evidence["average_precision"], found)
    assert any("changed since it was measured" in problem for problem in found.problems)


@pytest.mark.parametrize("name", designs.names())
def test_each_walk_has_every_part(name: str) -> None:
    text = open_design(name).readme.read_text()
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert [section for section in SECTIONS if section not in headings] == []
    assert "```mermaid" in text
    assert text.count("<details>") == len(designs.get(name).questions) + len(designs.get(name).rubric)


@pytest.mark.parametrize("name", designs.names())
def test_typed_data_survives_json(name: str) -> None:
    """A page and a mock interview will be built on it."""
    design = designs.get(name)
    assert type(design).model_validate_json(design.model_dump_json()) == design


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("drillyard design what-if fraud --rps 5", True),
        ("drillyard serve canary vision --percent 10", True),
        ("drillyard serve canary vision --share 10", False),
        ("drillyard dance", False),
        ("drillyard design", False),
        ("make bench-faults", True),
        ("make tea", False),
    ],
)
def test_commands_are_known(text: str, known: bool) -> None:
    assert is_command(text) is known


def test_what_if_moves_what_follows_and_names_what_breaks() -> None:
    answer = whatif.what_if("fraud", {**whatif.traffic("fraud", 50_000.0), "replicas_count": 20.0})
    rows = {row.key: row for row in answer.rows}
    cores = open_design("fraud").figures["cpu_us_per_request"].value * 0.05
    assert rows["peak_rps"].after == pytest.approx(50_000)
    assert rows["log_gb_day"].after > rows["log_gb_day"].before  # traffic moves more than the servers
    assert rows["peak_cores"].after == pytest.approx(cores)
    assert rows["utilisation_ratio"].after == pytest.approx(cores / 20)
    assert not rows["pca_ratio"].changed
    assert any(text.startswith("utilisation_zone_lost_ratio is") for text in answer.broken)
    assert whatif.what_if("fraud", {}).broken == ()


def test_answers_stay_hidden_until_asked_for() -> None:
    (section,) = [page for page in pages(open_design("fraud").readme.read_text()) if page.startswith("## Questions")]
    closed, hidden = asked(section, answers=False)
    assert len(hidden) == len(designs.get("fraud").questions)
    assert all(answer not in closed for answer in hidden)
    opened, none = asked(section, answers=True)
    assert none == []
    assert " ".join(hidden[0].split()) in opened


def test_only_registered_models_are_systems() -> None:
    assert designs.systems() == ["fraud", "vision"]
    assert "serving" in designs.names()


def test_designs_import_no_framework() -> None:
    code = (
        "import sys, designs; from designs.opened import open_design; [open_design(n) for n in designs.names()]; "
        "from designs import verify, whatif, render; "
        "print([m for m in ('torch', 'ray', 'locust', 'gevent', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_command_line_fails_on_a_problem_and_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads(evidence.path_of("serving").read_text())
    content["own_rps"]["value"] += 1
    (tmp_path / "evidence.json").write_text(json.dumps(content))
    monkeypatch.setattr(evidence, "path_of", lambda design: tmp_path / "evidence.json")
    result = CliRunner().invoke(
        app, ["design", "verify", "serving", "--no-claims", "--json", str(tmp_path / "out.json")]
    )
    assert result.exit_code == 1
    assert "own_rps: value is" in result.output
    assert json.loads((tmp_path / "out.json").read_text())[0]["name"] == "serving"


def test_show_prints_the_walk_without_keys_or_answers() -> None:
    result = CliRunner().invoke(app, ["design", "show", "vision"])
    assert result.exit_code == 0
    assert "Image classification" in result.output
    assert "<!--" not in result.output
    assert "(1)" in result.output
    assert len(CliRunner().invoke(app, ["design", "show", "vision", "--answers"]).output) > len(result.output)


def test_collect_keeps_what_is_true_and_renews_the_prose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another result, evidence and bound numbers follow; words stay as they were."""
    results, folder = tmp_path / "results", tmp_path / "designs" / "serving"
    results.mkdir()
    folder.mkdir(parents=True)
    for path in evidence.RESULTS.glob("*.json"):
        (results / path.name).write_bytes(path.read_bytes())
    content = json.loads((results / "bench-overload.json").read_text())
    content["bars"]["goodput_ratio"]["median"] = 0.5
    (results / "bench-overload.json").write_text(json.dumps(content))
    (folder / "README.md").write_text("Goodput stays at 0.97<!--overload_goodput_ratio--> of it.")
    (folder / "evidence.json").write_bytes(evidence.path_of("serving").read_bytes())
    monkeypatch.setattr(evidence, "RESULTS", results)
    monkeypatch.setattr(evidence, "ROOT", tmp_path)
    result = CliRunner().invoke(app, ["design", "collect", "serving", "--rewrite", "--quiet"])
    assert result.exit_code == 0, result.output
    assert (folder / "README.md").read_text() == "Goodput stays at 0.50<!--overload_goodput_ratio--> of it."
    kept = json.loads((folder / "evidence.json").read_text())
    assert kept["overload_goodput_ratio"]["value"] == 0.5
    assert kept["decode_speedup"] == json.loads((ROOT / "designs/serving/evidence.json").read_text())["decode_speedup"]


def test_a_result_of_another_form_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bench-overload.json").write_text('{"commit": "c", "machine": "m", "bars": {}}')
    monkeypatch.setattr(evidence, "RESULTS", tmp_path)
    result = CliRunner().invoke(app, ["design", "collect", "serving", "--quiet"])
    assert isinstance(result.exception, UsageError)
    assert "overload_goodput_ratio='docs/results/bench-overload.json'" in str(result.exception)
