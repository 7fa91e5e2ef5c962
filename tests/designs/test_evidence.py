"""Evidence: paths into results, reductions, and when it is stale."""

from pathlib import Path

import pytest

from designs import evidence, freshness
from designs.evidence import FromResult

CONTENT = {
    "commit": "abc",
    "machine": "m",
    "runs": [{"ap": [0.7, 0.6]}, {"ap": [0.8, 0.7]}, {"ap": [0.9, 0.8]}],
    "faults": [{"fault": "kill", "failed": 0}, {"fault": "freeze", "failed": 3}],
    "bars": [
        {"bar": {"over": "a", "under": {"name": "x"}}, "ratio": {"median": 2.0, "low": 1.0, "high": 3.0, "n": 5}},
        {"bar": {"over": "a", "under": {"name": "y"}}, "ratio": {"median": 4.0, "low": 3.0, "high": 5.0, "rounds": 2}},
    ],
}


def source(path: str, **changes: object) -> FromResult:
    fields = {"key": "k", "unit": "", "says": "", "result": "r", "path": path, "command": "make x", **changes}
    return FromResult.model_validate(fields)


def test_many_numbers_are_reduced_with_their_spread() -> None:
    found = evidence.from_result(source("runs/*/ap/0", reduce="mean"), CONTENT, None)
    assert (found.value, found.n, found.spread) == (pytest.approx(0.8), 3, (0.7, 0.9))


def test_one_number() -> None:
    found = evidence.from_result(source("faults/fault=freeze/failed"), CONTENT, None)
    assert (found.value, found.n, found.spread, found.commit, found.machine) == (3.0, 1, None, "abc", "m")


def test_a_summary_keeps_its_own_spread_and_count() -> None:
    found = evidence.from_result(source("bars/*/bar.over=a/bar.under.name=y/ratio"), CONTENT, None)
    assert (found.value, found.n, found.spread) == (4.0, 2, (3.0, 5.0))


@pytest.mark.parametrize("path", ["runs/*/auc", "faults/fault=flood/failed", "runs/9/ap/0", "runs/0/ap"])
def test_a_path_that_leads_nowhere_or_to_no_number_is_an_error(path: str) -> None:
    with pytest.raises((KeyError, IndexError, TypeError)):
        evidence.from_result(source(path), CONTENT, None)


def test_several_numbers_where_one_was_expected_are_an_error() -> None:
    with pytest.raises(ValueError, match="3 were found"):
        evidence.from_result(source("runs/*/ap/0"), CONTENT, None)


CODE = '"""Doc."""\nRATE = 0.1\ndef build(x):\n    """Doc."""\n    return x + 1\n'


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (CODE.replace("Doc", "Other words"), True),
        (CODE + "# a comment\n", True),
        (CODE.replace("x + 1", "(x + 1)"), True),
        (CODE.replace("x + 1", "x + 2"), False),
        (CODE.replace("0.1", "0.2"), False),
    ],
)
def test_code_is_the_same_when_only_words_changed(other: str, same: bool) -> None:
    old = freshness.digest(("a.py",), lambda path: CODE)
    assert (freshness.digest(("a.py",), lambda path: other) == old) is same


def test_one_definition_is_looked_at_alone() -> None:
    changed = CODE.replace("0.1", "0.2")
    digests = [freshness.digest(("a.py::build",), lambda path, text=text: text) for text in (CODE, changed)]
    assert digests[0] == digests[1]
    rates = [freshness.digest(("a.py::RATE",), lambda path, text=text: text) for text in (CODE, changed)]
    assert rates[0] != rates[1]


def test_nothing_named_is_no_digest() -> None:
    assert freshness.digest((), lambda path: CODE) is None


def test_history_knows_its_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "ROOT", tmp_path)
    assert freshness.is_ancestor("abc") is None  # no history at all
    git = freshness._git
    git("init", "-q")
    for number in range(3):
        (tmp_path / "serving").mkdir(exist_ok=True)
        (tmp_path / "serving" / "a.py").write_text(str(number))
        git("add", ".")
        git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", str(number))
    first = git("rev-list", "--max-parents=0", "HEAD").strip()
    assert freshness.is_ancestor(first + "-dirty") is True
    assert freshness.is_ancestor("f" * 40) is False
    assert freshness.commits_since(first, ("serving",)) == 2
    assert freshness.commits_since(first, ("loadtests",)) == 0
