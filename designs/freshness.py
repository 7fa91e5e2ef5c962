"""Whether a number still speaks of the code as it is.

Two rules. What seed and code decide (quality, sizes) is stale as soon as that code is another one: its syntax trees,
docstrings, comments and a recipe's stated purpose apart, are compared by digest. What a clock decided (speed, faults)
grows old with each commit to the folders that it measured, and is stale after `MOST_COMMITS` of them.
"""

import ast
import hashlib
import subprocess
from collections.abc import Callable, Sequence
from functools import cache

from designs.evidence import ROOT

MOST_COMMITS = 100

Read = Callable[[str], str]  # path in the repository -> text


def working_tree(path: str) -> str:
    """A file as it is now. Raises OSError."""
    return (ROOT / path).read_text()


def at_commit(commit: str) -> Read:
    """Files as they were then. Raises CalledProcessError."""
    return lambda path: _git("show", f"{_plain(commit)}:{path}")


def digest(code: Sequence[str], read: Read) -> str | None:
    """Of the syntax trees of modules (`a/b.py`) and single definitions (`a/b.py::name`); None of none."""
    if not code:
        return None
    trees = [_dump(read(path), name) for path, _, name in (item.partition("::") for item in code)]
    return hashlib.sha256("\n".join(trees).encode()).hexdigest()[:16]


@cache
def is_ancestor(commit: str) -> bool | None:
    """Whether the commit is part of this history; None where there is no (whole) history to ask."""
    if not (ROOT / ".git").exists() or _git("rev-parse", "--is-shallow-repository").strip() == "true":
        return None
    done = subprocess.run(
        ["git", "merge-base", "--is-ancestor", _plain(commit), "HEAD"], cwd=ROOT, capture_output=True, check=False
    )
    return done.returncode == 0


@cache
def commits_since(commit: str, folders: tuple[str, ...]) -> int:
    """How many commits have changed the folders since. Raises CalledProcessError."""
    return int(_git("rev-list", "--count", f"{_plain(commit)}..HEAD", "--", *folders))


def _plain(commit: str) -> str:
    """Measured on files that were not committed yet: the commit below is the best that is known."""
    return commit.removesuffix("-dirty")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _dump(source: str, name: str) -> str:
    tree: ast.AST = ast.parse(source)
    if name:
        assert isinstance(tree, ast.Module)
        tree = next(node for node in tree.body if name in _names(node))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            body.pop(0)
        if isinstance(node, ast.Call):
            node.keywords = [each for each in node.keywords if each.arg != "purpose"]
    return ast.dump(tree)


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else ()
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
