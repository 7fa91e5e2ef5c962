"""Nothing that serves loads a pickle: held against the source, since one careless call is enough."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVED = sorted([*(ROOT / "serving").rglob("*.py"), *(ROOT / "drillyard" / "core").rglob("*.py")])

# Modules whose loading runs what the file says, and those of Ray that hand out its own cloudpickle.
MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "torch", "skops", "yaml"}
# Functions that unpickle, or run text as code, wherever they come from.
FUNCTIONS = {"read_pickle", "unpickle", "eval", "exec", "cloudpickle", "pickle", "unsafe_load", "full_load"}


def found_in(source: str) -> Iterator[str]:
    """What loads a pickle in this source, by line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name.rpartition(".")[2] in FUNCTIONS:
                yield f"line {node.lineno}: {name}"
            if name in ("np.load", "numpy.load") and not refuses_pickles(node):
                yield f"line {node.lineno}: {name} without allow_pickle=False"
            continue
        else:
            continue
        for name in names:
            if MODULES & set(name.split(".")):
                yield f"line {node.lineno}: import of {name}"


def refuses_pickles(call: ast.Call) -> bool:
    return any(
        word.arg == "allow_pickle" and isinstance(word.value, ast.Constant) and word.value.value is False
        for word in call.keywords
    )


@pytest.mark.parametrize("path", SERVED, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_that_serves_loads_a_pickle(path: Path) -> None:
    assert list(found_in(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "from ray import cloudpickle",
        "import ray.cloudpickle as c",
        "import torch\ntorch.load('f')",
        "from joblib import load",
        "import numpy as np\nnp.load('f')",
        "import numpy as np\nnp.load('f', allow_pickle=True)",
        "import numpy as np\nnp.load('f', allow_pickle=flag)",
        "import pandas as pd\npd.read_pickle('f')",
        "eval('1')",
        "ray.cloudpickle(b'')",
    ],
)
def test_the_walk_would_find_one(source: str) -> None:
    assert list(found_in(source)) != []


def test_the_walk_sees_the_loading_that_there_is() -> None:
    assert any("np.load(" in path.read_text() for path in SERVED)
