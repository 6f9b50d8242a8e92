"""NeuroSim's NetWork.csv, out and in: a row a layer (DNN+NeuroSim manual, "network structure").

Columns: input height, width and depth, kernel height and width, output depth, whether pooling follows,
stride. A linear layer is a 1 x 1 convolution of a 1 x 1 image.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from crossgrid.kernels.errors import ConfigError, shown

from ..plan.layer_shape import Convolution, LayerShape

#: windows of the pooling that a row may ask for, in both directions
POOL = 2


class Row(NamedTuple):
    """A layer as NeuroSim writes it; older files end before the stride."""

    height: int
    width: int
    depth: int
    kernel_height: int
    kernel_width: int
    out: int
    pooled: int
    stride: int = 1


def neurosim_csv(layers: Sequence[LayerShape]) -> str:
    """The file's text. NeuroSim knows no groups: of a grouped convolution the depth is that of one group, so
    that its weights are right. A layer that many vectors pass through an input (a transformer's) is one over
    an image of that many positions."""
    return "".join(",".join(str(value) for value in _row(layer)) + "\n" for layer in layers)


def _row(layer: LayerShape) -> Row:
    shape = layer.convolution
    if shape is None:
        return Row(1, layer.reuse, layer.in_, 1, 1, layer.out, 0)
    depth = shape.channels_in // layer.groups
    return Row(*shape.size_in, depth, *shape.kernel, layer.out, int(shape.pooled), shape.stride[0])


def read_neurosim_csv(path: str | os.PathLike[str]) -> tuple[LayerShape, ...]:
    """The layers of a NetWork.csv, called ``layer1`` and on.

    The file says neither padding nor branches. What reads a layer tells whether its image kept its size or
    lost a border (kept, where nothing tells); a layer reads the latest one whose image it fits, else the one
    before it. What meets on the way (shortcuts) and what stays digital is not in the file.

    Raises:
        ConfigError: it cannot be read, or a row is none; the message names the row.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{path}' cannot be read ({error!s:.200}); give a NetWork.csv") from None
    rows = [_parsed(line, f"'{path}' line {k}") for k, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise ConfigError(f"'{path}' holds no row; a NetWork.csv has one a layer: {', '.join(Row._fields)}")
    sides = [_side(rows, k) for k in range(len(rows))]
    return tuple(_layer(rows, sides, k) for k in range(len(rows)))


def _parsed(line: str, where: str) -> Row:
    parts = [part.strip() for part in line.split(",")]
    parts = parts[:-1] if parts[-1] == "" else parts
    if len(parts) not in (len(Row._fields) - 1, len(Row._fields)):
        raise ConfigError(
            f"{where} has {len(parts)} values; a row of NetWork.csv has {len(Row._fields)}: "
            f"{', '.join(Row._fields)}"
        )
    for name, part in zip(Row._fields, parts, strict=False):
        least = 0 if name == "pooled" else 1
        if not (part.isascii() and part.isdecimal()) or len(part) > 18 or int(part) < least:
            raise ConfigError(f"{where}: {name} = {shown(part)} must be a whole number of at least {least}")
    row = Row(*(int(part) for part in parts))
    if row.pooled > 1:
        raise ConfigError(f"{where}: pooled = {row.pooled} must be 0 or 1")
    return row


def _is_image(row: Row) -> bool:
    """Whether a row is a convolution, not a matrix that ``width`` vectors pass."""
    return row.height > 1 or row.kernel_height * row.kernel_width > 1 or row.stride > 1


def _side(rows: Sequence[Row], k: int) -> tuple[int, int]:
    """Height and width of what a row makes, before pooling: as the first later row that fits tells."""
    row = rows[k]
    if not _is_image(row):
        return row.height, row.width
    kept = -(-row.height // row.stride), -(-row.width // row.stride)
    cut = (
        (row.height - row.kernel_height) // row.stride + 1,
        (row.width - row.kernel_width) // row.stride + 1,
    )
    sides = [side for side in (kept, cut) if min(_handed_on(row, side)) > 0]
    for later in rows[k + 1 :]:
        for side in sides:
            if _fits(row, side, later):
                return side
    return kept


def _handed_on(row: Row, side: tuple[int, int]) -> tuple[int, int]:
    """What is left of an image after pooling."""
    return (side[0] // POOL, side[1] // POOL) if row.pooled else side


def _fits(row: Row, side: tuple[int, int], reader: Row) -> bool:
    """Whether ``reader`` can read what ``row`` makes: as an image, or all of it as one vector."""
    height, width = _handed_on(row, side)
    if (reader.height, reader.width, reader.depth) == (height, width, row.out):
        return True
    return not _is_image(reader) and reader.width == 1 and reader.depth == row.out * height * width


def _layer(rows: Sequence[Row], sides: Sequence[tuple[int, int]], k: int) -> LayerShape:
    row, name = rows[k], f"layer{k + 1}"
    fitting = (j for j in reversed(range(k)) if _fits(rows[j], sides[j], row))
    sources = None if k == 0 else (f"layer{next(fitting, k - 1) + 1}",)
    if not _is_image(row):
        return LayerShape(name, row.out, row.depth, row.width, sources=sources)
    kernel = row.kernel_height, row.kernel_width
    shape = Convolution(
        row.depth, kernel, (row.stride, row.stride), (row.height, row.width), sides[k], bool(row.pooled)
    )
    height, width = sides[k]
    in_ = row.depth * row.kernel_height * row.kernel_width
    return LayerShape(name, row.out, in_, height * width, shape, sources)
