"""Configurations of a technology: what they hold, and that a tile of each learns something finite."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle
import pydoc
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from preset_fields import leaves

import crossgrid as cg
from crossgrid.kernels.config import Config

NAMES = [name for name in cg.__all__ if name.endswith("Preset")]
# cells and peripheries whose values are published come in the same form
OTHERS = ["PCMPresetUnitCell", "PresetIOParameters", "StandardIOParameters"]


def test_there_are_as_many_presets_as_documented() -> None:
    assert len(NAMES) == 54


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_a_new_configuration_with_the_presets_periphery(name: str) -> None:
    config, other = getattr(cg, name)(), getattr(cg, name)()
    assert config == other
    assert config.device is not other.device
    for io in (config.forward, config.backward):
        # 7 bits in, 9 bits out, as published: Rasch et al., "A flexible and fast PyTorch toolkit", 2021
        assert (io.inp_res, io.out_res) == (1 / 126, 1 / 510)
        assert (io.out_bound, io.out_noise) == (20.0, 0.1)
    assert config.update.update_bl_management
    config.device = cg.ConstantStepDevice()
    assert getattr(cg, name)().device == other.device


PUBLISHED = json.loads((Path(__file__).parents[1] / "golden" / "presets.json").read_text())


@pytest.mark.parametrize("name", PUBLISHED["learn by pulses"])
def test_a_preset_has_the_values_that_aihwkit_gives_it(name: str) -> None:
    """Field by field; what has no field here is digital processing that presets leave as it is."""
    wanted = {**PUBLISHED["every preset that learns by pulses"], **PUBLISHED["learn by pulses"][name]}
    ours = leaves(getattr(cg, name)())
    unknown = {path for path in wanted if path not in ours}
    assert {path.split(".")[0] for path in unknown} <= {"runtime", "pre_post", "mapping"}
    known = {path: value for path, value in wanted.items() if path in ours}
    assert {path: ours[path] for path in known} == known


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


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_takes_fields(name: str) -> None:
    preset = getattr(cg, name)
    mapping = cg.MappingParameter(max_input_size=128)
    assert preset(mapping=mapping).mapping is mapping
    assert dataclasses.replace(preset(mapping=mapping), mapping=cg.MappingParameter()) == preset()
    device = cg.ConstantStepDevice(dw_min=0.01)
    assert preset(device=device).device is device
    assert preset(forward=cg.IOParameters(is_perfect=True)).backward == cg.PresetIOParameters()
    with pytest.raises(cg.ConfigError, match=f"unknown field of {name} 'maping': did you mean 'mapping'?"):
        preset(maping=mapping)


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_a_preset_is_known_by_its_name(name: str) -> None:
    preset = getattr(cg, name)
    assert preset.__name__ == name
    assert pickle.loads(pickle.dumps(preset)) is preset
    assert pickle.loads(pickle.dumps(preset())) == copy.deepcopy(preset()) == preset()


@pytest.mark.parametrize("name", NAMES)
def test_the_fields_of_a_preset_are_those_of_a_configuration(name: str) -> None:
    preset = getattr(cg, name)
    (base,) = (kind for kind in (cg.SingleRPUConfig, cg.UnitCellRPUConfig) if issubclass(preset, kind))
    expected = [spec.name for spec in dataclasses.fields(base)]
    assert list(inspect.signature(preset).parameters) == expected
    assert isinstance(preset(), base)


def devices_of(value: Any) -> set[str]:
    """The preset devices and cells that a configuration is made of."""
    if isinstance(value, list):
        return {name for entry in value for name in devices_of(entry)}
    if not isinstance(value, Config):
        return set()
    name = type(value).__name__
    if name.endswith(("PresetDevice", "PresetUnitCell")):
        return {name}
    return {name for spec in dataclasses.fields(value) for name in devices_of(getattr(value, spec.name))}


@pytest.mark.parametrize("name", NAMES)
def test_help_says_which_device_and_which_source(name: str) -> None:
    preset = getattr(cg, name)
    written = preset.__doc__.split("\n")[0]
    (device,) = devices_of(preset().device)
    assert device in written
    # authors and year; the title stands in the help of the device and in that of the rule's module
    assert re.search(r"\((\w+ et al\.|\w+ and \w+), 20\d\d\)", written)
    source = " ".join(getattr(cg, device).__doc__.split("Source:")[1].split())
    year = re.search(r'",.*?\b(20\d\d)\b', source)  # after the title
    assert year is not None
    assert year[1] in written
    shown = pydoc.plain(pydoc.render_doc(preset))
    assert written in shown
    assert f"{device}(" in shown
    assert "forward: IOParameters = PresetIOParameters()" in shown


@pytest.mark.parametrize("name", OTHERS)
def test_help_says_which_source_a_cell_or_periphery_has(name: str) -> None:
    preset = getattr(cg, name)
    written = " ".join(preset.__doc__.split("Fields:")[0].split())
    assert re.search(r'Source: \w+ et al\., "[^"]+",.*20\d\d', written)
    assert preset() == preset()
