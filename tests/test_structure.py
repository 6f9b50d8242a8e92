"""The shape of the project: which way imports point, which names are public, what an actor must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import crossgrid as cg

ROOT = Path(__file__).parent.parent
ORDER = ["kernels", "chip", "emulator"]


def imported_parts(path: Path) -> set[str]:
    """The parts of crossgrid that a file imports from, resolving relative imports."""
    package = ["crossgrid", *path.relative_to(ROOT).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = base + (node.module.split(".") if node.module else [])
            names = [[*module, alias.name] for alias in node.names]
        else:
            continue
        found |= {name[1] for name in names if name[0] == "crossgrid" and len(name) > 1}
    return found & {*ORDER}


@pytest.mark.parametrize("part", ORDER)
def test_imports_point_one_way(part: str) -> None:
    allowed = set(ORDER[: ORDER.index(part) + 1])
    for path in (ROOT / part).rglob("*.py"):
        wrong = imported_parts(path) - allowed
        assert not wrong, f"{path.relative_to(ROOT)} imports from {wrong}; {part} may use {sorted(allowed)}"


@pytest.mark.parametrize("part", ["kernels", "chip"])
def test_mathematics_knows_no_processes(part: str) -> None:
    """Neither Ray nor sockets anywhere; torch only where arrays live on a card, and only when asked for."""
    for path in (ROOT / part).rglob("*.py"):
        tree = ast.parse(path.read_text())
        used = {name for node in ast.walk(tree) for name in _imported(node)}
        assert not used & {"ray", "prometheus_client", "zmq"}, path.relative_to(ROOT)
        loaded = {name for node in tree.body for name in _imported(node)}
        assert path.name == "cuda.py" or "torch" not in loaded, path.relative_to(ROOT)


def _imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and not node.level and node.module:
        return {node.module.split(".")[0]}
    return set()


def test_every_public_name_resolves() -> None:
    for name in cg.__all__:
        assert getattr(cg, name) is not None


def test_an_unknown_public_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no public name 'AnalogLiner'"):
        cg.AnalogLiner  # noqa: B018


def test_a_tile_actor_loads_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, crossgrid.emulator.ray_executor, crossgrid.emulator.worker;"
        "print([m for m in ('torch', 'matplotlib', 'sklearn', 'scipy.sparse', 'triton') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"
