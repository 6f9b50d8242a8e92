"""What ``help`` shows of a configuration: every field with its type, default, limits and words.

The words of a field are the string that follows it in the source, where editors find them too::

    dw_min: float = field(0.001, above=0.0)
    \"\"\"Mean size of a step at w = 0, in units of weight.\"\"\"

Python drops such strings; they are read from the source when somebody asks for help, and not before, so
that a configuration costs nothing more to import. A field that a class declares again without words keeps
those of the class that it derives from. Members of an enumeration have words in the same way; they are
shown where a field takes one of them.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import textwrap
from collections.abc import Iterator
from enum import Enum
from itertools import pairwise
from typing import Any

from .errors import ConfigError

LIMITS = (("at_least", "at least"), ("at_most", "at most"), ("above", "above"), ("below", "below"))


class Help:
    """The ``__doc__`` of a configuration: what was written, and a section on its fields."""

    def __init__(self, written: str | None) -> None:
        self.written = inspect.cleandoc(written or "")

    def __get__(self, instance: object, owner: Any) -> str:
        entries = [textwrap.indent(entry, "    ") for entry in _fields(owner)]
        return "\n".join([self.written, "", "Fields:", *entries]) if entries else self.written


def words_of(cls: type) -> dict[str, str]:
    """The words of each field or member of ``cls`` that has any, its own or inherited."""
    words: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        words.update(_own_words(base))
    return words


@functools.cache
def _own_words(cls: type) -> dict[str, str]:
    """The strings that follow the names which the body of ``cls`` assigns."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    except (OSError, TypeError, SyntaxError):  # built in, typed at a prompt, or oddly indented
        return {}
    assert isinstance(tree, ast.ClassDef)
    words = {}
    for statement, following in pairwise(tree.body):
        name = _assigned(statement)
        if name and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            words[name] = inspect.cleandoc(str(following.value.value)).rstrip()
    return words


def _assigned(statement: ast.stmt) -> str | None:
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id
    return None


def _fields(cls: Any) -> Iterator[str]:
    words = words_of(cls)
    for spec in dataclasses.fields(cls):
        limits = [f"{phrase} {spec.metadata[key]:g}" for key, phrase in LIMITS if _has(spec, key)]
        yield f"{spec.name}: {spec.type}{_default(spec)}" + (f" ({', '.join(limits)})" if limits else "")
        more = [words[spec.name]] if spec.name in words else []
        if isinstance(spec.default, Enum):
            more += _members(type(spec.default))
        if spec.name in cls.without_effect:
            more.append(f"No effect: {cls.without_effect[spec.name]}.")
        yield from (textwrap.indent(lines, "    ") for lines in more)


def _members(enumeration: type[Enum]) -> list[str]:
    words = words_of(enumeration)
    return [f"- {member.name}: {words.get(member.name, repr(member.value))}" for member in enumeration]


def _has(spec: Any, limit: str) -> bool:
    return spec.metadata.get(limit) is not None


def _default(spec: Any) -> str:
    if spec.default is not dataclasses.MISSING:
        return f" = {_shown(spec.default)}"
    if _is_made(spec):
        return f" = {_shown(spec.default_factory())}"
    return ""


def _shown(value: Any) -> str:
    """``value`` as one would write it: of a configuration only what differs from its defaults."""
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, float):
        return f"{value:.8g}"
    if isinstance(value, list):
        return f"[{', '.join(_shown(entry) for entry in value)}]"
    if dataclasses.is_dataclass(value):
        usual = _with_defaults(type(value))
        changed = [
            f"{spec.name}={_shown(getattr(value, spec.name))}"
            for spec in dataclasses.fields(value)
            if getattr(value, spec.name) != usual[spec.name]
        ]
        return f"{type(value).__name__}({', '.join(changed)})"
    return repr(value)


def _with_defaults(kind: Any) -> dict[str, Any]:
    """The fields of a ``kind`` of which nothing is given, even if that is too little to make one."""
    specs: Any = dataclasses.fields(kind)
    try:
        made = kind()
    except (ConfigError, TypeError):
        return {spec.name: spec.default_factory() if _is_made(spec) else spec.default for spec in specs}
    return {spec.name: getattr(made, spec.name) for spec in specs}


def _is_made(spec: Any) -> bool:
    return spec.default_factory is not dataclasses.MISSING
