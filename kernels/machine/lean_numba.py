"""numba for processes that load compiled kernels from the disk and compile nothing: tile actors, stages.

Whenever numba loads a kernel it also prepares to compile more: it registers all that it can compile (linear
algebra, typed containers, random numbers, ...), imports the modules of the functions that were inlined into
the kernel, and parses the kernel's intermediate code, so that others may inline it. In a tile actor that was
28 MB and half of its start. Here it waits until something is compiled indeed; numba then does it by itself.
"""

from __future__ import annotations

import sys
from typing import Any

import llvmlite.binding as llvm
import numba
from numba.core import caching, codegen, environment
from numba.core.registry import cpu_target
from numba.core.runtime.nrt import rtsys

from .switches import PLAIN

#: versions whose internals are as this module takes them to be; of others a process takes more memory
KNOWN = ((0, 68),)

PACKAGE = __name__.partition(".")[0]


class LoadedLibrary(codegen.JITCodeLibrary):
    """A kernel's machine code; its intermediate code is parsed when another kernel is to inline it."""

    _bitcode: bytes | None = None

    @classmethod
    def _unserialize(cls, engine: Any, state: Any) -> Any:
        name, kind, data = state
        if kind != "object":
            return super()._unserialize(engine, state)
        library = engine.create_library(name)
        machine_code, library._bitcode = data
        library.enable_object_caching()
        library._set_compiled_object(machine_code)
        library._finalize_final_module()
        return library

    def get_pointer_to_function(self, name: str) -> Any:
        if self._bitcode is None:
            return super().get_pointer_to_function(name)
        return self._codegen._engine.get_function_address(name)  # 0 if there is none

    def _get_module_for_linking(self) -> Any:
        if self._bitcode is not None and self._shared_module is None:
            self._shared_module = llvm.parse_bitcode(self._bitcode)
        return super()._get_module_for_linking()


def _load_overload(cache: Any, signature: Any, context: Any) -> Any:
    """``FunctionCache.load_overload`` without all that only compiling needs; others' may need it."""
    if cache._py_func.__module__.partition(".")[0] != PACKAGE:
        return _numbas_load_overload(cache, signature, context)
    rtsys.initialize(context)
    with cache._guard_against_spurious_io_errors():
        return cache._load_overload(signature, context)


def _rebuild_environment(module: str, constants: Any, name: str) -> Any:
    """The environment of a function in a loaded kernel, with the constants that its errors are made of.

    Its globals would serve only code that falls back to Python objects; numba's own are not loaded for that.
    """
    if environment.lookup_environment(name) is None and module.startswith("numba."):
        scope = sys.modules[module].__dict__ if module in sys.modules else {}
        found = environment.Environment(scope)
        found.consts[:] = constants
        found.env_name = name
        environment.Environment._memo[name] = found
    return _numbas_rebuild(module, constants, name)


_numbas_rebuild = environment._rebuild_env
_numbas_load_overload = caching.FunctionCache.load_overload


def why_not() -> str | None:
    """Why this process's numba cannot be made lean, or None if it can."""
    version = ".".join(map(str, numba.version_info[:2]))
    known = ", ".join(".".join(map(str, each)) for each in KNOWN)
    if numba.version_info[:2] not in KNOWN:
        return f"numba {version} is not {known}, whose internals it knows"
    return "CROSSGRID_PLAIN switches it off" if "lean_numba" in PLAIN else None


def load_only() -> None:
    """Make this process's numba lean, before its first kernel."""
    if why_not() is not None:
        return
    from numba.experimental import function_type  # noqa: F401  (kernels take compiled functions)

    cpu_target.target_context.codegen()._library_class = LoadedLibrary
    caching.FunctionCache.load_overload = _load_overload  # type: ignore[method-assign]
    environment._rebuild_env = _rebuild_environment
