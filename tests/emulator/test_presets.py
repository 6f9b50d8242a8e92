"""Configurations of a technology: what they hold, and that a tile of each learns something finite."""

from __future__ import annotations

import inspect

import pytest
import torch

import crossgrid as cg
from crossgrid.emulator.config import presets

NAMES = [name for name in vars(presets) if name.endswith("Preset")]


def test_every_preset_is_public() -> None:
    assert len(NAMES) == 54
    assert all(getattr(cg, name) is getattr(presets, name) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_a_new_configuration_with_the_presets_periphery(name: str) -> None:
    config, other = getattr(cg, name)(), getattr(cg, name)()
    assert config == other
    assert config.device is not other.device
    for io in (config.forward, config.backward):
        # 7 bits in, 9 bits out, as published: Rasch et al., "A flexible and fast PyTorch toolkit", 2021
        assert (io.inp_res, io.out_res) == (1 / 126, 1 / 510)
        assert (io.out_bound, io.out_noise) == (20.0, 0.1)
    assert (config.update.desired_bl, config.update.update_bl_management) == (31, True)
    config.device = cg.ConstantStepDevice()
    assert getattr(cg, name)().device == other.device


SMALL = ("ReRamESPreset", "EcRam2Preset", "PCMPreset", "TikiTakaCapacitorPreset", "TTv2EcRamMOPreset",
         "ChoppedTTv2IdealizedPreset", "AGADReRamSBPreset", "MixedPrecisionPCMPreset")  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_a_tile_of_a_preset_is_pulsed(name: str) -> None:
    tile = cg.AnalogTile(4, 5, getattr(cg, name)(), seed=1)
    before = tile.get_weights()
    x, d = torch.ones(20, 5), torch.full((20, 4), -0.5)
    for _ in range(40):  # AGAD writes nothing before a chopper has switched
        tile.update(x, d, learning_rate=0.1)
    after = tile.get_weights()
    assert torch.isfinite(after).all()
    assert (after - before).mean() > 0  # a negative gradient raises weights


def test_the_number_of_devices_is_in_the_name() -> None:
    assert len(cg.ReRamES2Preset().device.unit_cell_devices) == 2
    assert len(cg.ReRamES4Preset().device.unit_cell_devices) == 4
    assert not inspect.signature(cg.GokmenVlasovPreset).parameters
