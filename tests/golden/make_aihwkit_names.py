"""Stores the public names of each module of aihwkit 1.1.0, run where it is installed.

A module's names are its own classes, functions and constants, and what it imports from others of aihwkit.
"""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import typing
from pathlib import Path
from types import ModuleType

import aihwkit

PREFIX = "aihwkit"


def names_of(module: ModuleType) -> list[str]:
    """The public names of ``module``."""
    if not str(module.__file__).endswith(".py"):
        return []  # the compiled library
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    targets = [
        target
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    constants = {target.id for target in targets if isinstance(target, ast.Name)}
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType | typing.TypeVar)
        if name in constants or str(getattr(value, "__module__", "")).split(".")[0] == PREFIX
    )


def main() -> None:
    """Write ``aihwkit_names.json``."""
    table, failed = {PREFIX: names_of(aihwkit)}, []
    for found in pkgutil.walk_packages(aihwkit.__path__, f"{PREFIX}."):
        try:
            table[found.name] = names_of(importlib.import_module(found.name))
        except ImportError as error:
            failed.append(f"{found.name}: {error}")
    print("\n".join(failed))
    text = json.dumps({"aihwkit": aihwkit.__version__, "modules": table}, indent=1)
    Path(__file__).with_name("aihwkit_names.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
