"""The shape of the project: which way imports point, which names are public, what an actor must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import imports
import pytest

import crossgrid as cg

ROOT = Path(__file__).parent.parent
ORDER = ["kernels", "chip", "emulator"]


@pytest.mark.parametrize("part", ORDER)
def test_imports_point_one_way(part: str) -> None:
    allowed = set(ORDER[: ORDER.index(part) + 1])
    for module, used in imports.graph_of_files().items():
        if module.split(".")[0] == part:
            wrong = {each.split(".")[0] for each in used} - allowed
            assert not wrong, f"{module} imports from {wrong}; {part} may use {sorted(allowed)}"


def test_no_files_import_each_other_in_a_circle() -> None:
    assert imports.circles(imports.graph_of_files()) == []


def test_arrows_between_folders_run_one_way() -> None:
    assert imports.circles(imports.graph_of_folders()) == []


def test_the_map_of_imports_sees_what_is_there() -> None:
    """Else the two tests above could not fail."""
    files = imports.graph_of_files()
    assert "kernels.rng.naive" in files["kernels.pulsed_update.naive"]  # relative, at the top
    assert "kernels.arrays.draws.cpu" in files["kernels.backends"]  # inside a function
    assert "kernels.errors" in files["emulator.errors"]  # from another part
    assert imports.circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


@pytest.mark.parametrize("part", ORDER)
def test_folders_are_small(part: str) -> None:
    """At most twelve modules in a folder, at most six loose ones beside the wings; a face is no module."""
    for folder in {path.parent for path in imports.modules().values()}:
        if folder.relative_to(ROOT).parts[0] == part:
            modules = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
            limit = 6 if folder == ROOT / part else 12
            assert len(modules) <= limit, f"{folder.relative_to(ROOT)} holds {sorted(modules)}"


@pytest.mark.parametrize("part", ORDER)
def test_functions_take_at_most_twelve_arguments(part: str) -> None:
    """Compiled ones too: what belongs together travels as a named tuple."""
    for path in imports.modules().values():
        if path.relative_to(ROOT).parts[0] == part:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef):
                    names = [
                        each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                    ]
                    taken = [name for name in names if name not in ("self", "cls")]
                    assert len(taken) <= 12, f"{path.relative_to(ROOT)}: {node.name} takes {len(taken)}"


@pytest.mark.parametrize("part", ORDER)
def test_a_readme_names_every_wing(part: str) -> None:
    text = (ROOT / part / "README.md").read_text()
    for folder in (ROOT / part).iterdir():
        if folder.is_dir() and not folder.name.startswith("__"):
            assert f"`{folder.name}/" in text, f"{part}/README.md does not name {folder.name}/"


@pytest.mark.parametrize("part", ["kernels", "chip"])
def test_mathematics_knows_no_processes(part: str) -> None:
    """Neither Ray nor sockets anywhere; torch only where arrays live on a card, and only when asked for."""
    for path in (ROOT / part).rglob("*.py"):
        tree = ast.parse(path.read_text())
        used = {name for node in ast.walk(tree) for name in _imported(node)}
        assert not used & {"ray", "prometheus_client", "zmq"}, path.relative_to(ROOT)
        loaded = {name for node in tree.body for name in _imported(node)}
        assert "cuda" in (path.stem, path.parent.name) or "torch" not in loaded, path.relative_to(ROOT)


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


def test_a_driver_of_stages_loads_no_compilers(tmp_path: Path) -> None:
    """It sends, and its peak is a figure: numba's and Triton's libraries are 130 MB of a process."""
    code = (
        "import sys, torch, crossgrid as cg, crossgrid.emulator.stages.executor\n"
        "from safetensors.torch import save_file\n"
        "save_file({'0.weight': torch.ones(2, 3), '1.weight': torch.ones(2, 2)}, sys.argv[1])\n"
        "with cg.deferred():\n"
        "    each = [torch.nn.Linear(n, 2, bias=False) for n in (3, 2)]\n"
        "model = cg.convert_to_analog(torch.nn.Sequential(*each), cg.InferenceRPUConfig())\n"
        "cg.emulate(model, backend='ray', stages=2, weights=sys.argv[1])\n"
        "print([m for m in ('numba', 'llvmlite', 'triton', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.safetensors")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"


def test_a_tile_actor_loads_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, crossgrid.emulator.actors.executor, crossgrid.emulator.tiles.worker;"
        "print([m for m in ('torch', 'matplotlib', 'sklearn', 'scipy.sparse', 'triton') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"
