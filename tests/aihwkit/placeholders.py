"""A pytest plugin that runs aihwkit's own tests over ``crossgrid.aihwkit``.

Their helpers import everything at once. What is missing becomes a placeholder that fails where it is used, so
that a test fails by what it tests.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from types import ModuleType
from typing import Any

from crossgrid.aihwkit import alias, missing


class Missing(type):
    """Classes that stand for a name; to make one is the ImportError of the name."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], str) and len(args) == 3:
            return type.__call__(cls, *args)
        return REFUSE(cls.__module__, cls.__name__)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return placeholder(cls.__module__, f"{cls.__name__}.{name}")


REFUSE = missing.refusal


def placeholder(module: str, name: str) -> Any:
    """What stands for ``name`` of ``module``."""
    return Missing(name, (), {"__module__": module})


def is_here(module: str) -> bool:
    """Whether there is a ``module`` that can be imported."""
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


class MissingModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules of aihwkit that are not here: all their names are placeholders."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if not fullname.startswith(f"{alias.NAME}."):
            return None
        parent, _, _ = fullname.rpartition(".")
        real = fullname.replace(alias.NAME, missing.PREFIX, 1)
        if isinstance(sys.modules.get(parent), Empty) or not is_here(real):
            return importlib.util.spec_from_loader(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing in it."""


class Empty(ModuleType):
    """A module whose names are all missing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return placeholder(self.__name__, name)


def pytest_configure() -> None:
    """Install the alias, and placeholders for what is missing."""
    alias.install()
    missing.refusal = placeholder
    sys.meta_path.insert(0, MissingModules())
