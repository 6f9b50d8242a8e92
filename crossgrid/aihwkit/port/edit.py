"""The edit of a script: its imports of aihwkit become imports of this package, all else stays as it is."""

from __future__ import annotations

import libcst as cst
from libcst import helpers

from ..missing import PREFIX

THEIRS = "aihwkit"


def edited(source: str) -> str:
    """``source`` with its imports rewritten; formatting and comments stay."""
    return cst.parse_module(source).visit(Imports()).code


class Imports(cst.CSTTransformer):
    """``from aihwkit.x import y`` becomes ``from crossgrid.aihwkit.x import y``."""

    def leave_ImportFrom(self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom) -> cst.ImportFrom:
        """Rewrite where names come from."""
        name = None if updated_node.module is None else helpers.get_full_name_for_node(updated_node.module)
        if updated_node.relative or name is None or name.split(".")[0] != THEIRS:
            return updated_node
        return updated_node.with_changes(module=_dotted(name))

    def leave_Import(self, original_node: cst.Import, updated_node: cst.Import) -> cst.Import:
        """Rewrite modules; what the script calls ``aihwkit`` goes on being called so."""
        return updated_node.with_changes(names=[_alias(each) for each in updated_node.names])


def _alias(alias: cst.ImportAlias) -> cst.ImportAlias:
    name = helpers.get_full_name_for_node(alias.name) or ""
    if name.split(".")[0] != THEIRS:
        return alias
    if alias.asname is not None:
        return alias.with_changes(name=_dotted(name))
    called = cst.AsName(cst.Name(THEIRS), cst.SimpleWhitespace(" "), cst.SimpleWhitespace(" "))
    return alias.with_changes(name=_dotted(THEIRS), asname=called)  # submodules load when they are first used


def _dotted(name: str) -> cst.BaseExpression:
    return cst.parse_expression(name.replace(THEIRS, PREFIX, 1))
