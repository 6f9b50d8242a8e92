"""Compiled CPU kernels that are cached on disk, and never stale.

numba's disk cache looks at a function's own file only. A kernel here also depends on the formulas that
are bound into it and on the code of other files that is inlined into it, so the copy that is compiled
carries a hash of all files that its own imports, in turn, in its name, which is part of the cache's key.
A file that was changed since this process began tells nothing of the code that the process holds: what is
compiled from it is kept under a name of this process's own, which no other looks for.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import secrets
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import cgutils
from numba.core.errors import NumbaExperimentalFeatureWarning
from numba.extending import intrinsic

from .bind import Formula
from .pages import keep_freed_memory

# Threads that wait by spinning take the processor from those that they wait for, where several processes
# share it: on two busy cores an update took 58 ms instead of 7. To wake one that sleeps costs a quarter of a
# millisecond on a virtual machine, which is what this count is. libgomp reads it when it is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "100000")
keep_freed_memory()

_PACKAGE = Path(__file__).parents[2]  # crossgrid
_IMPORT = re.compile(r"^\s*from ([.\w]+) import (?:\(([^)]*)\)|([^\n#]+))", re.MULTILINE)
_AT_START = {path: path.stat().st_mtime_ns for path in Path(__file__).parents[1].rglob("*.py")}


@functools.cache
def _source(path: Path) -> tuple[bytes, frozenset[Path]]:
    """What tells a file's code, which is its text while that is as it was, and the files it imports from."""
    text = path.read_bytes()
    modified = path.stat().st_mtime_ns
    if modified != _AT_START.get(path, modified):
        text += f"# {secrets.token_hex()}".encode()
    found: set[Path] = set()
    for module, names, name in _IMPORT.findall(text.decode()):
        dots = len(module) - len(module.lstrip("."))
        if dots:
            base = path.parents[dots - 1].joinpath(*module[dots:].split("."))
        elif module.split(".")[0] == _PACKAGE.name:
            base = _PACKAGE.joinpath(*module.split(".")[1:])
        else:
            continue
        taken = [each.split()[0] for each in (names or name).split(",") if each.strip()]
        candidates = [base.with_suffix(".py"), base / "__init__.py", *(base / f"{each}.py" for each in taken)]
        found |= {each for each in candidates if each.is_file()}
    return text, frozenset(found)


@functools.cache
def sources_hash(path: Path) -> str:
    """A hash of the code that a kernel in ``path`` may inline: the file and all that it imports, in turn."""
    files, waiting = set(), {path, Path(__file__)}
    while waiting:
        files |= waiting
        waiting = {each for file in waiting for each in _source(file)[1]} - files
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    for file in sorted(files):
        digest.update(_source(file)[0])
    return digest.hexdigest()


def code_hash(function: Formula) -> str:
    """A hash of what ``function`` computes: its instructions and constants."""
    assert isinstance(function, types.FunctionType)
    code = function.__code__
    text = repr((code.co_code, code.co_consts, code.co_names))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def named_copy(function: Formula, uses: dict[str, Any] | None, tag: str) -> Formula:
    """A copy with the names in ``uses`` bound, whose own name tells all that it depends on."""
    assert isinstance(function, types.FunctionType)
    scope = {**function.__globals__, **(uses or {})}
    copy = types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__)
    sources = sources_hash(Path(function.__code__.co_filename))
    suffix = hashlib.blake2b(f"{sources}{tag}".encode(), digest_size=8).hexdigest()
    copy.__qualname__ = f"{function.__qualname__}_{suffix}"
    copy.__module__ = function.__module__
    return copy


def kernel(function: Formula, signature: Any = None, *, parallel: bool = False) -> Callable[..., Any]:
    """``function`` compiled for CPUs: at once for ``signature``, else for what it is first called with."""
    copy = named_copy(function, None, str(parallel))
    compiler = numba.njit(signature, parallel=parallel, cache=True, error_model="numpy", nogil=True)
    with warnings.catch_warnings():  # numba still calls functions as arguments an experiment
        warnings.simplefilter("ignore", NumbaExperimentalFeatureWarning)
        return compiler(copy)


def callback(function: Formula, signature: Any, uses: dict[str, Any], tag: str) -> Any:
    """``function`` compiled for one signature, with the names in ``uses`` bound; ``tag`` tells what they are.

    Kernels take its address (``at_address``): they are compiled once for all callbacks of one signature.
    """
    return numba.cfunc(signature, cache=True, error_model="numpy")(named_copy(function, uses, tag))


def at_address(signature: Any) -> Any:
    """For kernels: a function that makes a callback of ``signature`` from its address.

    Numba looks at a callback that is passed itself anew in every call, for longer than a small update takes.
    """

    @intrinsic
    def function_at(typing: Any, address: Any) -> Any:
        def code(context: Any, builder: Any, types: Any, values: Any) -> Any:
            function = cgutils.create_struct_proxy(types.return_type)(context, builder)
            function.c_addr = builder.inttoptr(values[0], function.c_addr.type)
            return function._getvalue()

        return numba.types.FunctionType(signature)(numba.types.int64), code

    return function_at


@intrinsic
def data_of(typing_context: Any, array: Any) -> Any:
    """For kernels: a C-contiguous array's numbers as a pointer, while somebody else holds the array.

    A pointer has no owner to count, which takes an atomic instruction, and an index of it is not checked
    for being negative, which keeps loops from being vectorised.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return numba.types.CPointer(array.dtype)(array), generate


@intrinsic
def borrowed(typing_context: Any, value: Any) -> Any:
    """For kernels: arrays, also in tuples, without their owners, while the function's caller holds them.

    To hand on an array counts its owner up and down, an atomic instruction each: several hundred in a
    block that goes through a dozen stages, which threads would fight for as well.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return without_owners(context, builder, value, arguments[0])

    def without_owners(context: Any, builder: Any, kind: Any, given: Any) -> Any:
        if isinstance(kind, numba.types.BaseTuple):
            kinds: Any = kind  # which has types, whatever sort of tuple it is
            members = zip(kinds.types, cgutils.unpack_tuple(builder, given), strict=True)
            kept = [without_owners(context, builder, *each) for each in members]
            return context.make_tuple(builder, kind, kept)
        if isinstance(kind, numba.types.Array):
            array = context.make_array(kind)(context, builder, given)
            array.meminfo = cgutils.get_null_value(array.meminfo.type)
            array.parent = cgutils.get_null_value(array.parent.type)
            return array._getvalue()
        return given

    return value(value), generate
