"""What a plan loses on its chip, in words: converters with too few bits, kinds of tiles that nothing uses."""

from __future__ import annotations

from ..description.adc import shortfall
from ..description.spec import Chip
from ..plan.plan import MappingPlan


def lost_bits(plan: MappingPlan, chip: Chip) -> list[str]:
    """What the converters lose that some layer goes through."""
    found = []
    for kind in sorted(set(plan.layer_kind.tolist())):
        lost = shortfall(chip.described(kind))
        if lost:
            found.append(f"kind '{chip.kind_names[kind]}': {lost}" if chip.kinds else lost)
    return found


def unused_kinds(plan: MappingPlan, chip: Chip) -> list[str]:
    """Kinds of tiles that a chip has and no layer is on."""
    used = set(plan.layer_kind.tolist())
    return [
        f"kind '{name}': no layer uses its {tiles} tiles, which the chip's area has all the same"
        for kind, (name, tiles) in enumerate(zip(chip.kind_names, chip.kind_tiles, strict=True))
        if tiles and kind not in used
    ]
