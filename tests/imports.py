"""Who imports whom, read from the files: what the tests of the project's shape look at."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PARTS = ("kernels", "chip", "emulator")
Graph = dict[str, set[str]]


def module_of(path: Path) -> str:
    """``kernels/rng/naive.py`` is ``kernels.rng.naive``; a package goes by its folder's name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of the three parts."""
    return {module_of(path): path for part in PARTS for path in sorted((ROOT / part).rglob("*.py"))}


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker sees."""
    for child in ast.iter_child_nodes(tree):
        if not _is_type_checking(child):
            yield child
            yield from nodes(child)


def imports(path: Path) -> set[str]:
    """The modules that a file imports from when it runs, also inside functions."""
    known, found = modules(), set()
    package = list(path.relative_to(ROOT).parts[:-1])
    for node in nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            targets = [alias.name.removeprefix("crossgrid.") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *(node.module.split(".") if node.module else [])])
            start = start.removeprefix("crossgrid").removeprefix(".")
            targets = [
                name if (name := f"{start}.{alias.name}".strip(".")) in known else start
                for alias in node.names
            ]
        else:
            continue
        found |= {target for target in targets if target in known}
    return found - {module_of(path)}


@functools.cache
def graph_of_files() -> Graph:
    """Module -> modules that it imports from. What a package's ``__init__`` offers counts as the package."""
    return {module: imports(path) for module, path in modules().items()}


@functools.cache
def graph_of_folders() -> Graph:
    """Folder -> other folders that its files import from.

    Loose modules stand for themselves, and so do faces: an ``__init__`` only offers what its folder holds.
    """
    paths = modules()

    def folder(module: str) -> str:
        if paths[module].name == "__init__.py":
            return f"{module} (face)"
        return module if len(module.split(".")) == 2 else module.rpartition(".")[0]

    found: Graph = {}
    for module, used in graph_of_files().items():
        found.setdefault(folder(module), set()).update(folder(each) for each in used)
    return {name: used - {name} for name, used in found.items()}


def circles(graph: Graph) -> list[list[str]]:
    """Groups of names that can all reach each other."""
    import networkx

    drawn = networkx.DiGraph([(name, each) for name, used in graph.items() for each in used])
    return [sorted(group) for group in networkx.strongly_connected_components(drawn) if len(group) > 1]
