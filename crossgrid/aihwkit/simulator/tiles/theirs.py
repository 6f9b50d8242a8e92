"""A tile's state as aihwkit saved it: weights, scales, ranges and drawn devices go on from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ...exceptions import TileModuleError

if TYPE_CHECKING:
    from .module import TileModule

STATE = "analog_tile_state"
#: what aihwkit keeps beside it under names of its own; the bias has the same name here
OTHERS = (
    "analog_ctx", "shared_weights", "mapping_scales", "out_scaling_alpha", "input_range",
    "input_range_update_idx", "alpha", "tile.weight",
)  # fmt: skip


def take(tile: TileModule, state_dict: dict[str, Any], prefix: str) -> None:
    """Put what aihwkit saved of a tile into it, and this package's names of it into ``state_dict``.

    Drift goes on from the weights as they were saved: what was programmed before is not known.

    Raises:
        TileModuleError: the tile has another size.
    """
    saved = state_dict.pop(prefix + STATE)
    own = {name: state_dict.pop(prefix + name, None) for name in OTHERS}
    weights = saved["analog_tile_weights"]
    wanted = (tile.tile.get_d_size(), tile.tile.get_x_size())
    if tuple(weights.shape) != wanted:
        raise TileModuleError(
            f"{prefix}{STATE} holds weights of shape {tuple(weights.shape)}, the tile is {wanted}; build the "
            "model with the mapping that it was saved with"
        )
    tile.set_mapping_scales(own["mapping_scales"])
    learned = (
        own["out_scaling_alpha"] if own["out_scaling_alpha"] is not None else saved.get("out_scaling_alpha")
    )
    if learned is not None:
        tile.out_scaling_alpha = learned
    if own["input_range"] is not None and tile.input_range is not None:
        tile.set_input_range(own["input_range"])
        counter = tile.input_range_update_idx
        if counter is not None and own["input_range_update_idx"] is not None:
            counter.fill_(int(own["input_range_update_idx"]))
    _take_devices(tile, saved)
    tile.write_raw(weights)
    state_dict.update({f"{prefix}{name}": v for name, v in tile.state_dict().items() if name != "bias"})


def _take_devices(tile: TileModule, saved: dict[str, Any]) -> None:
    """Give the devices what was drawn there, by the names that both know."""
    names, values = saved["analog_tile_hidden_parameter_names"], saved["analog_tile_hidden_parameters"]
    known = tile.get_hidden_parameters()
    given = {name: values[k] for k, name in enumerate(names) if name in known}
    tile.set_hidden_parameters({name: torch.as_tensor(each) for name, each in given.items()})
