"""The command line's own duties: exit codes, one-line errors, JSON, plain progress."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drillyard.cli import main
from drillyard.core.errors import UsageError

DRILLYARD = [sys.executable, "-c", "from drillyard.cli import main; main()"]


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """The command line in this process, which has imported already what takes a new one seconds."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRILLYARD_HOME", str(tmp_path / "home"))

    def run_here(*words: str, **env: str) -> tuple[int, str]:
        for key, value in env.items():
            monkeypatch.setenv(key, value)
        monkeypatch.setattr(sys, "argv", ["drillyard", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    yield run_here
    signal.signal(signal.SIGTERM, before)


def run(*words: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DRILLYARD_HOME": str(cwd / "home"), **env}
    return subprocess.run([*DRILLYARD, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train", "nosuch"], 2, "error: system='nosuch' is not valid; expected one of fraud, vision"),
        (["train", "fraud", "--recipe", "huge"], 2, "error: recipe='huge' is not valid; expected one of base"),
        (["train", "fraud", "--dataset", "mnist"], 2, "error: dataset='mnist' is not valid; expected one of fashion"),
        (["data", "fetch", "mnist"], 2, "error: dataset='mnist' is not valid; expected one of fashion-mnist"),
        (["drill", "run", "Fraud!"], 2, "error: model='Fraud!' is not valid; expected NAME, NAME@ALIAS"),
        (
            ["drill", "run", "fraud", "--drill", "spikes"],
            2,
            "error: drill='spikes' is not valid; expected one of steady",
        ),
        (["drill", "list", "nosuch"], 2, "error: design='nosuch' is not valid; expected one of fraud"),
        (["models", "relog", "nowhere"], 2, "error: run='nowhere' is not valid"),
        (["serve", "status"], 4, ""),
        (["serve", "sync"], 4, "home does not answer; start it: drillyard serve up"),
        (["data", "list", "--json", "/proc/nowhere/out.json"], 2, "error: --json='/proc/nowhere/out.json' is not"),
    ],
)
def test_wrong_calls_end_with_one_line_and_their_code(run_here: Run, words: list[str], code: int, message: str) -> None:
    found, said = run_here(*words)
    assert found == code, said
    assert message in said


def test_an_unreachable_store_is_exit_code_4(run_here: Run) -> None:
    code, said = run_here("models", "list", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert code == 4
    assert "MLFLOW_TRACKING_URI" in said


@pytest.mark.parametrize(
    "words", [["models", "list"], ["serve", "up", "fraud", "--port", "18431", "--grpc-port", "0", "--detach"]]
)
@pytest.mark.parametrize("home", ["/proc/nowhere", "/proc"])  # cannot be made, cannot be written in
def test_a_home_that_cannot_be_written_is_named(run_here: Run, words: list[str], home: str) -> None:
    code, said = run_here(*words, DRILLYARD_HOME=home)
    assert code == 2
    assert said.startswith(f"error: DRILLYARD_HOME='{home}' is not valid; expected a folder to write in")


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    done = run("data", "list", "--json", "/dev/full", cwd=tmp_path)
    assert done.returncode == 4
    assert done.stderr.startswith("error: No space left on device; make room")


def test_json_goes_where_it_is_told(tmp_path: Path) -> None:
    done = run("data", "list", "--json", str(tmp_path / "new folder" / "out.json"), cwd=tmp_path)
    assert done.returncode == 0
    content = json.loads((tmp_path / "new folder" / "out.json").read_text())
    assert content["fashion-mnist"]["licence"] == "MIT"


def test_the_list_of_drills_says_what_each_would_ask_of_a_system(tmp_path: Path) -> None:
    done = run("drill", "list", "vision", "--json", str(tmp_path / "drills.json"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (spike,) = [row for row in json.loads((tmp_path / "drills.json").read_text()) if row["name"] == "spike"]
    assert spike["plan"]["load"]["rate_rps"] == 50  # half of what the design is made for, before its tenfold
    assert "Overload" in done.stdout


def test_json_on_standard_output_is_alone_there(tmp_path: Path) -> None:
    done = run("data", "list", "--json", "-", cwd=tmp_path)
    assert json.loads(done.stdout)["fashion-mnist"]["licence"] == "MIT"
    assert "fashion-mnist" in done.stderr  # the table


def test_a_recipe_on_a_view_of_a_data_set_gets_as_far_as_ray(run_here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(_: object) -> None:
        raise UsageError("ray", "begun", "no more for this test")

    monkeypatch.setattr("pipelines.cluster.ray_cluster", begin)
    code, said = run_here("train", "fraud", "--recipe", "unfiltered")
    assert (code, "ray='begun'" in said) == (2, True), said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["drill", "issues"], "unbounded-queue"),
        (["design", "what-if", "fraud", "--rps", "50000"], "other figures stay as they are"),
    ],
)
def test_what_people_read_leaves_standard_output_to_the_json(tmp_path: Path, words: list[str], told: str) -> None:
    done = run(*words, "--json", "-", cwd=tmp_path)
    assert json.loads(done.stdout)
    assert told in done.stderr


def test_nothing_is_written_by_looking(tmp_path: Path) -> None:
    assert run("data", "list", cwd=tmp_path).returncode == 0
    assert run("serve", "status", cwd=tmp_path).returncode == 4
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_told(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path).stdout.startswith("drillyard 0.")
