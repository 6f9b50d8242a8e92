"""What decides the emulated numbers of a point: equal digests, equal bits, one emulation for all of them."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from typing import Any

from torch import nn

from crossgrid.chip import Chip, MappingPlan
from crossgrid.kernels.analog_mvm import IOParameters
from crossgrid.kernels.analog_mvm.settings import is_nonlinear

from ..config.rpu import FloatingPointRPUConfig, RPUConfig
from ..model.analog_model import require_analog
from ..run.specs import kind_of, on_kind
from ..tiles.layer_spec import placed


def numbers_of(model: nn.Module, plan: MappingPlan, peripheries: dict[str, list[bytes]], aged: Any) -> str:
    """A digest of everything that a model's outputs on a plan depend on, beside its weights and inputs.

    That is how each layer is cut, its devices' key, and its configuration with the converters of its kind of
    tile (``peripheries_of``). Where a block sits, with whom it shares a tile and how many copies of it there
    are decides no number. ``aged`` tells what is programmed and when it is read.
    """
    digest = hashlib.blake2b(repr(aged).encode(), digest_size=6)
    for name, layer in require_analog(model):
        spec = placed(layer.grid.spec, name, plan, layer.grid.spec.rpu_config)
        said = {each.name: getattr(spec, each.name) for each in fields(spec) if each.name != "rpu_config"} | {
            "tiles": tuple(replace(tile, label="", chip=0) for tile in spec.tiles)
        }
        digest.update(repr(said).encode())
        digest.update(peripheries[name][kind_of(plan, name)])
    return digest.hexdigest()


def peripheries_of(model: nn.Module, chip: Chip) -> dict[str, list[bytes]]:
    """For each layer its configuration with the converters of each of the chip's kinds of tiles, in words."""
    kinds = range(len(chip.kind_names))
    return {
        name: [repr(_told_apart(on_kind(layer.rpu_config, chip, kind))).encode() for kind in kinds]
        for name, layer in require_analog(model)
    }


def _told_apart(config: RPUConfig) -> RPUConfig:
    """``config``, but for how many lines share a converter where all converters are alike."""
    if isinstance(config, FloatingPointRPUConfig):
        return config
    changed: dict[str, Any] = {
        spec.name: replace(io, lines_per_adc=1)
        for spec in fields(config)
        if isinstance(io := getattr(config, spec.name), IOParameters) and not _converters_differ(io)
    }
    return replace(config, **changed)


def _converters_differ(io: IOParameters) -> bool:
    noise = io.out_noise > 0 and io.out_noise_std > 0
    return noise or (is_nonlinear(io) and io.out_nonlinearity_std > 0)
