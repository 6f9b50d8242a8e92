"""From one grid of a layer's tiles to another: the same tiles elsewhere, or others for its weights."""

from __future__ import annotations

from crossgrid.kernels.errors import ConfigError

from ..tiles.layer_spec import LayerSpec
from .grid import TileGrid


def move(old: TileGrid, new: TileGrid) -> None:
    """Let the tiles of ``new`` hold what those of ``old`` do; ``old`` is in this process.

    The same tiles go on as they are. Others are written to; but devices that were given keep their state, as
    only the periphery is another one.

    Raises:
        ConfigError: devices were given and are cut otherwise, or others.
    """
    if _same_cut(old.spec, new.spec) and old.spec.rpu_config == new.spec.rpu_config:
        new.load_state(old.state())
        return
    if not _were_given(old):
        new.set_weights(old.weights())
        return
    if not _same_cut(old.spec, new.spec) or old.spec.rpu_config.device != new.spec.rpu_config.device:
        raise ConfigError(
            f"{new.spec.name}: parameters of its devices were given, for {len(old.spec.tiles)} tiles, not "
            f"for {len(new.spec.tiles)} cut otherwise: leave out the chip, or give them to tiles like its own"
        )
    kept = {name: values for name, values in old.state().items() if "/cell." in name}
    new.load_state({**new.state(), **kept})


def _same_cut(a: LayerSpec, b: LayerSpec) -> bool:
    """Whether two cuts are into the same blocks, with the same key."""
    ends = [[(t.out_start, t.out_stop, t.in_start, t.in_stop) for t in each.tiles] for each in (a, b)]
    return a.key == b.key and ends[0] == ends[1]


def _were_given(grid: TileGrid) -> bool:
    """Whether parameters of any devices in this process were given."""
    worker = getattr(grid.executor, "worker", None)
    groups = [] if worker is None else worker.layers[grid.layer].groups
    return any(each.given for group in groups for each in group.bank.cell.populations().values())
