"""Which kind of tile each layer is on: as asked for by name, and where the tiles of a kind are.

Strategies number the tiles of each kind from 0, as if a chip had no others; ``on_chip`` gives them their
numbers among all.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence

import numpy as np

from crossgrid.kernels.errors import ConfigError, shown, unknown

from ..description.layout import places_of_kinds
from ..description.spec import Chip
from ..plan.layer_shape import LayerShape
from ..plan.plan import TileKind
from .cutting import Table

#: kinds of layers by name or pattern, or the same as text, "conv1=fine,layer4.*=coarse"
Kinds = Mapping[str, str] | str


def plan_kinds(chip: Chip) -> tuple[TileKind, ...]:
    """The kinds of a chip as its plans keep them; none where its tiles are all alike."""
    if not chip.kinds:
        return ()
    each = [chip.described(kind) for kind in range(len(chip.kind_names))]
    return tuple(
        TileKind(name, tiles, of.tile_out, of.tile_in)
        for name, tiles, of in zip(chip.kind_names, chip.kind_tiles, each, strict=True)
    )


def read_kinds(kinds: Kinds | None) -> dict[str, str]:
    """Patterns of layers' names with the kind that each asks for.

    Raises:
        ConfigError: neither a mapping nor a text of LAYER=KIND,LAYER=KIND.
    """
    if kinds is None:
        return {}
    if isinstance(kinds, str):
        found = {}
        for entry in filter(None, (part.strip() for part in kinds.split(","))):
            pattern, equals, kind = (part.strip() for part in entry.rpartition("="))
            if not (equals and pattern and kind) or pattern in found:
                raise ConfigError(
                    f"kinds '{kinds}': '{entry}' is no LAYER=KIND of a layer of its own; write "
                    "conv1=fine,fc=coarse, or *=coarse for all"
                )
            found[pattern] = kind
        return found
    texts = isinstance(kinds, Mapping) and all(
        isinstance(text, str) for entry in kinds.items() for text in entry
    )
    if not texts:
        raise ConfigError(f"kinds = {shown(kinds)} must map names of layers to names of kinds")
    return dict(kinds)


def numbers_of_kinds(layers: Sequence[LayerShape], chip: Chip, kinds: Kinds | None) -> list[int]:
    """For each layer the number of its kind; of several patterns the last that matches counts.

    What no pattern matches is on the chip's own tiles, or, where it has none, on its first kind.

    Raises:
        ConfigError: a kind that the chip does not have, a pattern that matches nothing.
    """
    asked, names = read_kinds(kinds), chip.kind_names
    if asked and not chip.kinds:
        raise ConfigError(
            f"kinds: the tiles of chip '{chip.name}' are all alike; describe others in its file "
            "(kinds: {fine: {tiles: 16, adc: {bits: 8}}}, digital: {cores: 4}), or leave kinds out"
        )
    found = [0 if chip.kind_tiles[0] else 1] * len(layers)
    for pattern, kind in asked.items():
        if kind not in names:
            raise unknown(f"kind of chip '{chip.name}'", kind, names)
        number = names.index(kind)
        if not chip.kind_tiles[number]:
            raise ConfigError(
                f"kinds: {pattern}={kind}: all tiles of chip '{chip.name}' are of other kinds; give one of "
                f"{', '.join(names[1:])}"
            )
        matched = [k for k, layer in enumerate(layers) if _matches(layer.name, pattern)]
        if not matched:
            raise unknown("layer in kinds", pattern, [layer.name for layer in layers])
        for k in matched:
            found[k] = number
    return found


def _matches(name: str, pattern: str) -> bool:
    """Whether a pattern means a layer; a module's name means all matrices of it."""
    return name == pattern or name.startswith(f"{pattern}.") or fnmatch.fnmatchcase(name, pattern)


def chips_needed(table: Table, chip: Chip, kinds: Sequence[int]) -> tuple[int, int, int]:
    """Chips that hold a table, the kind that needs most, and how many tiles of it it takes."""
    found = (0, 0, 0)
    for kind in sorted(set(kinds)):
        rows = np.asarray(kinds)[table["layer"]] == kind
        tiles = int(table["tile"][rows].max(initial=-1)) + 1
        count = -(-tiles // chip.kind_tiles[kind])
        if count > found[0]:
            found = (count, kind, tiles)
    return found


def on_chip(table: Table, chip: Chip, kinds: Sequence[int]) -> Table:
    """``table`` with its tiles numbered among all tiles of all chips."""
    if not chip.kinds:
        return table
    sizes = np.array(chip.kind_tiles)
    kind = np.asarray(kinds)[table["layer"]]
    number, rest = np.divmod(table["tile"], sizes[kind])
    places = places_of_kinds(chip.kind_tiles)
    tile = number * chip.tiles + places[(np.cumsum(sizes) - sizes)[kind] + rest]
    return {**table, "tile": tile.astype(np.int32)}
