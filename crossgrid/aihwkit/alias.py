"""``import aihwkit`` answered by this package, where somebody asked for it: nothing installs it by itself."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

from .missing import PREFIX, refusal

NAME = "aihwkit"


class Alias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds ``aihwkit.x`` as the very module ``crossgrid.aihwkit.x``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of an aliased module.

        Raises:
            ImportError: aihwkit has such a module and this package has not.
        """
        if fullname.split(".", maxsplit=1)[0] != NAME:
            return None
        real = fullname.replace(NAME, PREFIX, 1)
        parent, _, last = real.rpartition(".")
        if importlib.util.find_spec(real) is None:
            refusal(parent, last)
        return importlib.util.spec_from_loader(fullname, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """The module itself, under its other name."""
        return importlib.import_module(spec.name.replace(NAME, PREFIX, 1))

    def exec_module(self, module: ModuleType) -> None:
        """It ran already; it goes on being called by its own name."""
        module.__spec__ = importlib.util.find_spec(module.__name__) or module.__spec__


def install() -> None:
    """Answer ``import aihwkit`` with this package, in this process.

    Raises:
        ImportError: another aihwkit is loaded already.
    """
    if NAME in sys.modules:
        raise ImportError("aihwkit is imported already; install the alias before the first import of it")
    sys.meta_path.insert(0, Alias())
