"""What of a script is missing here or means something else, by line."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..missing import PREFIX
from .different import DIFFERENT

THEIRS = "aihwkit"


@dataclass(frozen=True, order=True)
class Finding:
    """One line of a report."""

    line: int
    kind: str  # "missing" or "different"
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.line}: {self.kind}: {self.name}: {self.text}"


def findings(source: str) -> list[Finding]:
    """What the script ``source`` must reckon with, by line, each name once.

    Raises:
        SyntaxError: it is no Python.
    """
    tree = ast.parse(source)
    if not any(_module_of(node) for node in ast.walk(tree)):
        return []
    found: dict[tuple[str, str], Finding] = {}
    for each in sorted([*_missing(tree), *_different(tree)]):
        found.setdefault((each.kind, each.name), each)
    return sorted(found.values())


def _module_of(node: ast.AST) -> str | None:
    """The module of aihwkit that a statement imports, if it does."""
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
        names = [node.module]
    return next((name for name in names if name.split(".")[0] == THEIRS), None)


def _missing(tree: ast.AST) -> Iterator[Finding]:
    for node in ast.walk(tree):
        module = _module_of(node)
        if module is None:
            continue
        wanted = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else [""]
        for name in wanted:
            refused = refusal_of(module, name)
            if refused is not None:
                yield Finding(node.lineno, "missing", f"{module}.{name}".rstrip("."), refused)  # type: ignore[attr-defined]


def refusal_of(module: str, name: str) -> str | None:
    """Why ``name`` of aihwkit's ``module`` (or the module itself) cannot be imported here; None if it can."""
    here = module.replace(THEIRS, PREFIX, 1)
    try:
        found = importlib.import_module(here)
        if name and name != "*":
            getattr(found, name)
    except ModuleNotFoundError:
        parent, _, last = here.rpartition(".")
        return refusal_of(parent.replace(PREFIX, THEIRS, 1), last) if parent != PREFIX.split(".")[0] else last
    except ImportError as error:
        return str(error).split(f"{PREFIX}: ", 1)[-1]
    return None


def _different(tree: ast.AST) -> Iterator[Finding]:
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and _module_of(node))
    meant = {alias.asname: alias.name for node in imports for alias in node.names if alias.asname}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Name):
            names = [meant.get(node.id, node.id)]
        elif isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.keyword) and node.arg:
            names = [node.arg]
        for name in names:
            if name in DIFFERENT:
                yield Finding(node.lineno, "different", name, DIFFERENT[name])  # type: ignore[attr-defined]


def scripts(path: Path) -> list[Path]:
    """``path`` itself, or the Python files below it."""
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]
