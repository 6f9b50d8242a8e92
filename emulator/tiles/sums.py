"""Adding the partial sums of the tiles that stand in one line of a layer's blocks."""

from __future__ import annotations

from collections.abc import Mapping

from .bank import Floats


def partial_sums(
    parts: Mapping[tuple[int, int], Floats], complete: set[int], *, along_row: bool
) -> tuple[tuple[int, ...], tuple[int, ...], list[Floats]]:
    """Add what can be added here, always in block order, so that the sum never depends on the host.

    Lines, places and sums as in ``Sums``: a row (backward: a column) that is hosted completely gives one
    array; of the others every part goes to the front-end, which adds them in the same order.
    """
    if len(parts) == 1 and len(complete) == 1:
        return (*complete,), (-1,), [*parts.values()]
    lines: list[int] = []
    places: list[int] = []
    sums: list[Floats] = []
    for row, column in sorted(parts) if along_row else sorted(parts, key=lambda rc: (rc[1], rc[0])):
        line, place = (row, column) if along_row else (column, row)
        part = parts[row, column]
        if line in complete and lines and lines[-1] == line:
            sums[-1] = sums[-1] + part
        else:
            lines.append(line)
            places.append(-1 if line in complete else place)
            sums.append(part)
    return tuple(lines), tuple(places), sums
