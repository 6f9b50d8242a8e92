"""Partial sums of a layer's tiles, added in block order, whichever host they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import ProtocolError
from ..tiles.bank import Floats
from ..tiles.layer_spec import LayerSpec
from ..tiles.messages import Sums
from ..tiles.values import library, zeros_beside


def add_rows(spec: LayerSpec, replies: Sequence[Sums], rows: int) -> Floats:
    """y[vectors, out] of a forward read, from the sums of all ``rows`` of blocks."""
    totals = _add_in_order(replies)
    _require_lines(spec, "rows", totals, rows)
    if len(totals) == 1:
        return totals[0]
    in_order = [totals[row] for row in sorted(totals)]
    y_BO: Floats = library(in_order[0]).concatenate(in_order, axis=1)
    return y_BO


def add_columns(
    spec: LayerSpec, replies: Sequence[Sums], columns: int, image_shape: tuple[int, ...]
) -> Floats:
    """z, shaped like the layer's input, of a backward read; images' channels may be in several columns."""
    totals = _add_in_order(replies)
    _require_lines(spec, "columns", totals, columns)
    if len(totals) == 1:
        return totals[0].reshape(image_shape)
    z = zeros_beside(totals[0], image_shape)
    for column, total in sorted(totals.items()):
        z[:, slice(*spec.channels(column))] += total
    return z


def _require_lines(spec: LayerSpec, what: str, totals: dict[int, Floats], count: int) -> None:
    if len(totals) != count or max(totals) != count - 1:
        raise ProtocolError(
            f"{spec.name}: its hosts answered with {what} {sorted(totals)!r:.80} of blocks; it has {count}"
        )


def _add_in_order(replies: Sequence[Sums]) -> dict[int, Floats]:
    """The sum of each line of blocks."""
    if len(replies) == 1 and len(replies[0].parts) == 1:
        return {replies[0].lines[0]: replies[0].parts[0]}
    found: dict[int, dict[int, Floats]] = {}
    for reply in replies:
        for line, place, part in zip(reply.lines, reply.places, reply.parts, strict=True):
            found.setdefault(line, {})[place] = part
    totals = {}
    for line in sorted(found):
        totals[line] = add_in_order(found[line])
    return totals


def add_in_order(parts: Mapping[int, Floats]) -> Floats:
    """The sum of the parts of one line by their places, in the order of these."""
    ordered = [parts[place] for place in sorted(parts)]
    total = ordered[0]
    for part in ordered[1:]:
        total = total + part
    return total
