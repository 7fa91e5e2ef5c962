"""What the targets say to the shell."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_mlflow_finds_the_store_of_a_checkout_whose_path_has_a_space(tmp_path: Path) -> None:
    folder = tmp_path / "my yard"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    outside = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}  # of a make that runs us
    command = ["make", "-n", "mlflow"]
    said = subprocess.run(command, cwd=folder, env=outside, capture_output=True, text=True, check=True).stdout
    words = shlex.split(said.splitlines()[-1])
    assert words[words.index("--backend-store-uri") + 1] == f"sqlite:///{folder}/.drillyard/mlflow.db"
