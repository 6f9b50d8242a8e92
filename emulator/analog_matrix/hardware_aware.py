"""A layer's weight matrix for inference: trained digitally, read through tiles, programmed, drifting."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossgrid.kernels.inference import (
    NotProgrammedError,
    WeightClipType,
    WeightModifierType,
    WeightRemapType,
    clip_weights,
    remap_weights,
)
from crossgrid.kernels.machine.pages import Recycled

from ..config.rpu import InferenceRPUConfig
from ..hosts.grid import Ticks, TileGrid
from ..tiles.bank import Floats
from ..tiles.layer_spec import LayerSpec
from .autograd import as_array, require_numbers
from .input_range import InputRange
from .output_scale import OutputScale
from .product import HardwareAwareProduct
from .pulsed import refuse_meta, tiles_text


@dataclass(slots=True)
class Programmed:
    """What is known of the last programming; with the trained weight it gives the devices at any time."""

    tick: int  # number of the programming
    version: tuple[int, int]  # of the weight that was programmed
    baseline: Floats | None = None  # the read-out that drift compensation compares with
    drifts: int = 0  # how often the devices were aged: addresses the noise of the reads


class HardwareAwareTiles(nn.Module):
    """W[out, in] as a torch parameter, and the tiles that products go through.

    While training, the tiles hold the present weight, modified anew for every mini-batch, and any torch
    optimizer trains it. ``program`` writes it once, with the noise of the devices; ``drift`` ages what was
    written. A product in evaluation mode uses what is on the tiles.
    """

    weight: nn.Parameter
    alpha: Tensor  # drift compensation: a factor of the outputs

    def __init__(self, spec: LayerSpec) -> None:
        super().__init__()
        assert isinstance(spec.rpu_config, InferenceRPUConfig)
        self.config = spec.rpu_config
        self.grid = TileGrid.local(spec)
        self.weight = nn.Parameter(torch.zeros(spec.out_size, spec.in_size))
        input_range = self.config.pre_post.input_range
        self.input_range = InputRange(input_range) if input_range.enable else None
        remapped = self.config.remap.type is not WeightRemapType.NONE
        self.out_scale = OutputScale.of(self.config.mapping, spec.out_size, remapped)
        # not a state of its own: as wide as the compensation makes it, saved with the extra state
        self.register_buffer("alpha", torch.ones(()), persistent=False)
        self.memory = Recycled()  # for gradients
        self.modifier_tick = 0
        self.programmings = 0
        self.programmed: Programmed | None = None
        self.on_tiles: tuple[int, int] | None = None  # the version of the weight that the tiles hold

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """y[vectors, out] = W x + b of features x[B, in] or of the patches of images x[B, channels, ...]."""
        require_numbers(x)
        self._bring_weights()
        modify = self._modify()
        x, r = (x, None) if self.input_range is None else self.input_range(x)
        keep = torch.is_grad_enabled()
        if not keep:
            self.memory.release()
        y: Tensor = HardwareAwareProduct.apply(x, self.weight, self.grid, modify, keep, self.memory)
        if r is not None:
            y = y * r.to(y)
        if self.out_scale is not None:
            y = self.out_scale(y)
        if self.programmed is not None and not self.training:
            y = y * self.alpha.to(y)
        return y if bias is None else y + bias

    def set_weights(self, w_OI: Floats) -> None:
        """Set the trained weight; whatever was programmed is gone."""
        held_OI = w_OI if self.out_scale is None else self.out_scale.split(w_OI)
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(held_OI))
        self.programmed = None

    def get_weights(self) -> Floats:
        """The trained weight [out, in] as the digital trainer has it: a copy."""
        w_OI = as_array(self.weight)
        return w_OI.copy() if self.out_scale is None else w_OI * self.out_scale.factor()

    def program(self) -> None:
        """Write the weight to the devices, with programming noise; time starts."""
        self._tidy()
        self.memory.release()
        targets_OI = as_array(self.weight)
        self.grid.program(targets_OI, self.programmings, None)
        self.programmed = Programmed(self.programmings, self._weight_version())
        self.programmings += 1
        self.on_tiles = None
        self.alpha = torch.ones(())
        compensation = self.config.drift_compensation
        if compensation is not None:
            self.programmed.baseline = compensation.baseline(
                self.grid.read_vectors, lambda x_BI: x_BI @ targets_OI.T, self.grid.spec.in_size
            )

    def drift(self, t_inference: float) -> None:
        """Age what was programmed by ``t_inference`` seconds and compensate the drift."""
        programmed = self.programmed
        if programmed is None:
            raise NotProgrammedError(
                f"{self.grid.spec.name}: drift before programming; call program_analog_weights() first"
            )
        if programmed.version != self._weight_version():
            raise NotProgrammedError(
                f"{self.grid.spec.name}: the weight changed since it was programmed; "
                "call program_analog_weights() again"
            )
        programmed.drifts += 1
        later = (float(t_inference), programmed.drifts)
        self.grid.program(as_array(self.weight), programmed.tick, later)
        compensation = self.config.drift_compensation
        if compensation is not None and programmed.baseline is not None:
            size = self.grid.spec.in_size
            self.alpha = torch.as_tensor(
                compensation.alpha(programmed.baseline, self.grid.read_vectors, size)
            )

    def get_extra_state(self) -> dict[str, Any]:
        """Counters that address noise, and what was programmed, for ``state_dict``."""
        p, ticks = self.programmed, self.grid.ticks
        return {
            "key": self.grid.spec.key,
            "ticks": [ticks.forward, ticks.backward, ticks.update],
            "modifier_tick": self.modifier_tick,
            "programmings": self.programmings,
            "programmed": None if p is None else [p.tick, p.drifts],
            "alpha": self.alpha,
            "baseline": None if p is None or p.baseline is None else torch.as_tensor(p.baseline),
            "tiles": {name: torch.from_numpy(np.array(v)) for name, v in self.grid.state().items()},
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over a saved state; the weight itself is loaded as a parameter."""
        if state["key"] != self.grid.spec.key:
            self.grid = TileGrid.local(replace(self.grid.spec, key=state["key"]))
        self.grid.ticks = Ticks(*state["ticks"])
        self.alpha = state["alpha"].clone()
        self.modifier_tick, self.programmings = state["modifier_tick"], state["programmings"]
        self.grid.load_state({name: values.numpy() for name, values in state["tiles"].items()})
        self.programmed, self.on_tiles = None, None
        if state["programmed"] is not None:
            tick, drifts = state["programmed"]
            baseline = None if state["baseline"] is None else state["baseline"].numpy()
            self.programmed = Programmed(tick, self._weight_version(), baseline, drifts)

    def __deepcopy__(self, memo: dict[int, Any]) -> HardwareAwareTiles:
        spec = self.grid.spec
        copied = HardwareAwareTiles(replace(spec, rpu_config=copy.deepcopy(spec.rpu_config)))
        memo[id(self)] = copied
        copied.load_state_dict(self.state_dict())
        copied.train(self.training)
        for parameter, own in zip(copied.parameters(), self.parameters(), strict=True):
            parameter.requires_grad_(own.requires_grad)
        return copied

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> HardwareAwareTiles:
        refuse_meta(self.grid, fn)
        before, version = as_array(self.weight), self._weight_version()
        super()._apply(fn, recurse)
        p = self.programmed
        if p is not None and p.version == version and np.array_equal(before, as_array(self.weight)):
            p.version = self._weight_version()  # the same weight, elsewhere
        return self

    def extra_repr(self) -> str:
        return tiles_text(self.grid)

    def _weight_version(self) -> tuple[int, int]:
        return self.weight.data_ptr(), self.weight._version

    def _bring_weights(self) -> None:
        """Put the trained weight on the tiles unless they hold it, or hold what was programmed."""
        if self.programmed is not None and not self.training:
            return
        if self.on_tiles != self._weight_version():
            self._tidy()
            self.grid.set_weights(as_array(self.weight))
            self.on_tiles = self._weight_version()

    def _tidy(self) -> None:
        """Clip and remap the weight as configured: what follows every optimizer step, whichever it is."""
        clips = self.config.clip.type is not WeightClipType.NONE
        remaps = self.out_scale is not None and self.config.remap.type is not WeightRemapType.NONE
        if not (clips or remaps):
            return
        w_OI = as_array(self.weight)
        if clips:
            for tile in self.grid.spec.tiles:
                block_OI = w_OI[tile.out_start : tile.out_stop, tile.in_start : tile.in_stop]
                clip_weights(block_OI[None], self.config.clip)
        if self.out_scale is not None and remaps:
            scales_O = np.broadcast_to(self.out_scale.factor().ravel(), w_OI.shape[:1]).copy()
            remap_weights(w_OI[None], scales_O[None], self.config.remap)
            self.out_scale.store(scales_O)
        if self.weight.dtype is not torch.float32 or self.weight.is_cuda:  # w_OI is a copy then
            with torch.no_grad():
                self.weight.copy_(torch.from_numpy(w_OI))

    def _modify(self) -> int | None:
        """The tick of this mini-batch's modifier, or None where the weights are not modified."""
        modifier = self.config.modifier
        if modifier.type is WeightModifierType.NONE and modifier.pdrop == 0:
            return None
        if self.training:
            self.modifier_tick += 1
            return self.modifier_tick
        return self.modifier_tick if modifier.enable_during_test and self.programmed is None else None
