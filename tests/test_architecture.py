"""The house rules that a machine can hold: one seam for every system, packages that resolve here, quiet imports."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pipelines.system

ROOT = Path(__file__).parents[1]
PACKAGES = ["drillyard", "pipelines", "serving", "loadtests", "designs"]
SYSTEMS = pipelines.system.names()


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_resolves_inside_the_repository(package: str) -> None:
    module = importlib.import_module(package)
    assert Path(module.__file__ or "").is_relative_to(ROOT)


def shared_modules() -> list[Path]:
    own = [ROOT / "pipelines" / name for name in SYSTEMS] + [ROOT / "designs" / name for name in SYSTEMS]
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return [path for path in found if not any(path.is_relative_to(folder) for folder in own)]


def test_no_shared_code_branches_on_a_systems_name() -> None:
    """A string that is a system's name may stand in help texts and docstrings, never in code that decides."""
    guilty = []
    for path in shared_modules():
        for node in ast.walk(ast.parse(path.read_text())):
            decides = isinstance(node, ast.Compare | ast.Match | ast.Subscript | ast.Dict)
            for inner in ast.walk(node) if decides else ():
                if isinstance(inner, ast.Constant) and inner.value in SYSTEMS:
                    guilty.append(f"{path.relative_to(ROOT)}:{inner.lineno} {inner.value!r}")
    assert guilty == []


def test_the_grep_would_find_a_branch() -> None:
    branch = ast.parse('if name == "fraud":\n    pass')
    constants = [
        inner.value
        for node in ast.walk(branch)
        if isinstance(node, ast.Compare)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Constant)
    ]
    assert constants == ["fraud"]


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_is_the_same_four_modules(name: str) -> None:
    modules = {path.stem for path in (ROOT / "pipelines" / name).glob("*.py")}
    assert {"data", "model", "evaluate", "recipes"} <= modules
    assert (ROOT / "designs" / name / "design.py").is_file()


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_recipe_says_what_it_is_for(name: str) -> None:
    for key, make in pipelines.system.get(name).recipes().items():
        recipe = make()
        assert (recipe.name, recipe.system) == (key, name)
        assert recipe.purpose


def test_importing_writes_nothing_and_starts_nothing(tmp_path: Path) -> None:
    code = (
        "import drillyard.cli, pipelines.pipeline, serving.lifecycle, designs, sys; sys.exit('ray' not in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_imports_no_framework() -> None:
    code = (
        "import sys; from drillyard.cli.app import app; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        "print([m for m in ('torch', 'ray', 'mlflow', 'numpy', 'locust') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_session_path_is_named() -> None:
    """The project must not depend on, or mention, where it was built."""
    pattern = re.compile(r"/work/|/root/")
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    guilty = [
        name
        for name in files
        if name and name != "tests/test_architecture.py" and (ROOT / name).is_file() and _mentions(ROOT / name, pattern)
    ]
    assert guilty == []


def _mentions(path: Path, pattern: re.Pattern[str]) -> bool:
    try:
        return bool(pattern.search(path.read_text()))
    except UnicodeDecodeError:
        return False
