"""What is emulated is what was planned: tile by tile, the weights that sit there."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import crossgrid as cg


@pytest.mark.parametrize("strategy", ["per-layer", "packed", "replicated", "time-multiplexed"])
def test_every_tile_holds_the_weights_of_its_block(strategy: str) -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(2, 20, 3), nn.Flatten(), nn.Linear(320, 150), nn.Linear(150, 10))
    config = cg.FloatingPointRPUConfig()
    model = cg.convert_to_analog(model, config)
    with cg.emulate(model, chip="demo-128", strategy=strategy, example_input=(1, 2, 6, 6)) as running:
        plan, weights = running.plan, running.weights()
        assert plan is not None
        for name, layer in running._layers:
            whole = weights[name].numpy().reshape(weights[name].shape[0], -1)
            held = layer.grid.state()
            planned = [block for block in plan.blocks_of(name) if block.copy == 0]
            assert len(layer.grid.spec.tiles) == len(planned)
            for tile, block in zip(layer.grid.spec.tiles, planned, strict=True):
                assert (tile.out_start, tile.out_stop) == (block.out_start, block.out_stop)
                assert (tile.in_start, tile.in_stop) == (block.in_start, block.in_stop)
                assert tile.label == str(block.tile)
                part = whole[block.out_start : block.out_stop, block.in_start : block.in_stop]
                assert any(
                    value.shape[-2:] == part.shape and (value.reshape(-1, *part.shape)[0] == part).all()
                    for key, value in held.items()
                    if key.split("/")[0] == str(tile.block) or key.startswith(f"{tile.block}.")
                ), f"tile {tile.label} does not hold its block; it has {sorted(held)}"
