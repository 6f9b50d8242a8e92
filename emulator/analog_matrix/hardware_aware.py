"""A layer's weight matrix for inference: trained digitally, read through tiles, programmed, drifting."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crossgrid.kernels.inference import (
    BaseDriftCompensation,
    NotProgrammedError,
    WeightClipType,
    WeightModifierType,
    WeightRemapType,
    clip_bound,
    remap_weights,
)
from crossgrid.kernels.machine.pages import Recycled

from ..config.digital import DigitalInferenceRPUConfig
from ..config.rpu import InferenceRPUConfig
from ..disk.arrays import StoredArray
from ..hosts.ending import stay_if_ending
from ..hosts.grid import TileGrid
from ..hosts.stored import StoredWeight
from ..tiles.bank import Floats
from .conversions import as_array, as_images, each_output, is_there, require_numbers
from .input_range import InputRange, require_managed
from .joined import Join, JoinedWeight, Seen
from .mini_batch import current_mini_batch, recomputes
from .output_scale import OutputScale
from .product import HardwareAwareProduct, Reading
from .tiles_module import require_movable, tiles_text
from .weights import TrainedWeight, digest_of, is_digest_of, matrix_of, plain, weight_of


@dataclass(slots=True)
class Programmed:
    """What is known of the last programming; with the trained weight it gives the devices at any time."""

    tick: int  # number of the programming
    digest: bytes  # of the weight that was programmed
    baseline: Floats | None = None  # the read-out that drift compensation compares with
    drifts: int = 0  # how often the devices were aged: addresses the noise of the reads
    seconds: float | None = None  # their age, if they were aged

    @property
    def age(self) -> tuple[float, int] | None:
        """As ``TileGrid.program`` takes it."""
        return None if self.seconds is None else (self.seconds, self.drifts)


class HardwareAwareTiles(nn.Module):
    """The tiles that a digitally trained weight W[out, in] is read through.

    While training, the tiles hold the present weight, modified anew for every mini-batch, and any torch
    optimizer trains it. ``program`` writes it once, with the noise of the devices; ``drift`` ages what was
    written. A product in evaluation mode reads what was programmed, whatever passes in training mode came
    between: everything random has an address, so the tiles are given the same devices again. Once the weight
    has changed it reads the new weight, and says so. (Training goes on from the weight that the trainer
    holds, without the noise of a programming, as one does not train on the devices of a deployed chip;
    aihwkit goes on from the noisy weight.)
    """

    alpha: Tensor  # drift compensation: a factor of the outputs

    def __init__(self, grid: TileGrid) -> None:
        """Around the tiles of ``grid``, which hold zeros."""
        super().__init__()
        spec = grid.spec
        self.grid = grid
        input_range = self.config.pre_post.input_range
        require_managed(spec.name, input_range, self.config.forward)
        self.input_range = InputRange(input_range) if input_range.enable else None
        remapped = self.config.remap.type is not WeightRemapType.NONE
        self.out_scale = OutputScale.of(self.config.mapping, spec.out_size, remapped)
        # not a state of its own: as wide as the compensation makes it, saved with what changes
        self.register_buffer("alpha", torch.ones(()), persistent=False)
        self.memory = Recycled()  # for gradients
        self.modifier_tick, self.draws = 0, 1  # the last draw of modified weights, and how many belong to it
        self.programmings = 0
        self.programmed: Programmed | None = None
        # what the tiles hold: the weight as it was, or a programming by its tick and its age
        self.on_tiles: Seen | tuple[int, tuple[float, int] | None] | None = None
        self.compared: tuple[Seen, bool] | None = None  # a weight, and whether it is the one programmed
        self.drawn_for: tuple[object | None, Seen] | None = None  # mini-batch and weight last modified
        self.joined: JoinedWeight | None = None  # weight and bias, where both are on the tiles
        self.stored: StoredWeight | None = None  # while the numbers of the weight are in a file alone

    @property
    def config(self) -> InferenceRPUConfig:
        """How the tiles behave, where they are now."""
        config = self.grid.spec.rpu_config
        assert isinstance(config, InferenceRPUConfig)
        return config

    @property
    def is_digital(self) -> bool:
        """Whether digital cores hold the weight: what is programmed on tiles is not theirs."""
        return isinstance(self.grid.spec.rpu_config, DigitalInferenceRPUConfig)

    def parameter(self) -> nn.Parameter:
        """A parameter of the weight's shape, zero; on the meta device where the tiles are nowhere yet."""
        device = "meta" if self.grid.is_absent else None
        return TrainedWeight.of(torch.zeros(self.grid.spec.weight_shape, device=device))

    def forward(
        self, x: Tensor, weight: Tensor, bias: Tensor | None = None, positions: tuple[int, ...] | None = None
    ) -> Tensor:
        """As of ``PulsedTiles``."""
        stay_if_ending()
        require_numbers(x)
        if self.training or torch.is_grad_enabled():
            self.fetch()
        held = self.trained(weight, bias)
        self.bring(held)
        modify = self.modification(held, len(x))
        r = None if self.input_range is None or self.is_digital else self.input_range(x)
        keep = torch.is_grad_enabled()
        if not keep:
            self.memory.release()
        scale = None if self.out_scale is None else self.out_scale.mapping
        limits = None if r is None else self.config.pre_post.input_range
        each = self.training and self.config.modifier.per_batch_sample
        reading = Reading(self.grid, modify, each, keep, self.memory, scale, limits)
        if self.grid.spec.bias_column:
            weight, bias = Join.apply(weight, bias, held, self.grid.spec), None
        y: Tensor = HardwareAwareProduct.apply(x, weight, r, reading)
        if self.out_scale is not None and self.out_scale.learned is not None:
            y = y * self.out_scale.learned.to(y)
        if not self.training and self.holds(held):
            y = y * self.alpha.to(y)
        y = y if bias is None else y + bias.to(y.dtype)
        return y if positions is None else as_images(y, positions)

    def trained(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """What of a layer's parameters the tiles hold: the weight; [W b] where the bias is on them too.

        All methods that take a ``weight`` take this.
        """
        if not self.grid.spec.bias_column:
            return weight
        assert bias is not None
        if self.joined is None or not self.joined.is_of(weight, bias):
            self.joined = JoinedWeight.of(self.grid.spec, weight, bias)
        return self.joined.values

    @property
    def reads_as_it_is(self) -> bool:
        """Whether the tiles are given W / a as it is, and this process needs no numbers for that."""
        config, compensation = self.config, self.config.drift_compensation
        changed = config.clip.type is not WeightClipType.NONE or config.remap.type is not WeightRemapType.NONE
        compares = type(compensation).baseline if compensation is not None else None
        own = compares in (None, BaseDriftCompensation.baseline)
        return own and not (changed or self.grid.spec.bias_column)

    def fetch(self) -> None:
        """Read the weight's numbers into its parameter, where they are in a file alone: somebody asks."""
        stored = self.stored
        if stored is None:
            return
        with stored.lock:
            if self.stored is None:
                return
            weight = stored.read()
            if isinstance(self.on_tiles, Seen):
                self.on_tiles = Seen.of(weight)
            if self.programmed is not None:
                self.programmed.digest = digest_of(matrix_of(self.grid.spec, weight))
                self.compared = Seen.of(weight), True
            self.stored = None

    def take_weight(self, w_OI: Floats) -> None:
        """A new weight was set: choose its output scale; whatever was programmed is gone."""
        if self.out_scale is not None:
            self.out_scale.fit(w_OI)
        self.forget_programming()

    def forget_programming(self) -> None:
        """Read the weight itself from now on, until it is programmed again."""
        self.programmed = self.on_tiles = self.compared = None

    def on_devices(self, weight: Tensor) -> Floats:
        """What the devices hold, [out, in]: ``weight`` as it was programmed and aged, or W / a as it is."""
        self.fetch()
        if self.programmed is None or not self.holds(weight):
            return self.held(weight)
        if self.on_tiles != (self.programmed.tick, self.programmed.age):
            self._place(self.programmed, self._targets(weight))
        return self.grid.weights()

    def means(self, weight: Tensor) -> Floats:
        """What the layer multiplies with where ``weight`` is its weight, [out, in]: s W."""
        w_OI = matrix_of(self.grid.spec, weight)
        if self.out_scale is None or self.out_scale.learned is None:
            return w_OI
        scaled: Floats = w_OI * as_array(self.out_scale.learned).reshape(-1, 1)
        return scaled

    def program(self, weight: Tensor) -> None:
        """Write the weight to the devices, with programming noise; time starts. Digital cores have none."""
        if self.is_digital:
            return
        stored = self.stored is not None
        targets_OI = None if stored else self.tidied(weight)
        digest = b"" if stored else digest_of(matrix_of(self.grid.spec, weight))
        self.memory.release()
        self.programmed = Programmed(self.programmings, digest)
        self.compared = Seen.of(weight), True
        self.programmings += 1
        self._place(self.programmed, targets_OI)
        self.alpha = torch.ones(())
        compensation = self.config.drift_compensation
        if compensation is not None:
            self.programmed.baseline = compensation.baseline(
                self.grid.read_vectors, lambda x_BI: _exact(x_BI, targets_OI), self.grid.spec.in_size
            )

    def drift(self, weight: Tensor, t_inference: float) -> None:
        """Age what was programmed by ``t_inference`` seconds and compensate the drift."""
        if self.is_digital:
            return
        programmed = self.programmed
        if programmed is None:
            raise NotProgrammedError(
                f"{self.grid.spec.name}: drift before programming; call program_analog_weights() first"
            )
        if not self.holds(weight):
            raise NotProgrammedError(
                f"{self.grid.spec.name}: the weight changed since it was programmed; "
                "call program_analog_weights() again"
            )
        programmed.drifts, programmed.seconds = programmed.drifts + 1, float(t_inference)
        self._place(programmed, self._targets(weight))
        compensation = self.config.drift_compensation
        if compensation is not None and programmed.baseline is not None:
            size = self.grid.spec.in_size
            self.alpha = torch.as_tensor(
                compensation.alpha(programmed.baseline, self.grid.read_vectors, size)
            )

    def changing(self) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """Counters that address noise and what was programmed, in plain values; the tiles in arrays."""
        plain, arrays = self.changing_here()
        return plain, {**arrays, **self.grid.state()}

    def changing_here(self) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """The same without what the hosts of the tiles hold."""
        p = self.programmed
        plain = self.grid.clock() | {
            "modifier_tick": self.modifier_tick,
            "programmings": self.programmings,
            "programmed": None if p is None else [p.tick, p.digest, p.drifts, p.seconds],
        }
        arrays = {"alpha": self.alpha.numpy(force=True)}
        return plain, arrays if p is None or p.baseline is None else {"baseline": p.baseline, **arrays}

    def take(self, plain: dict[str, Any], arrays: Mapping[str, NDArray | StoredArray]) -> None:
        """Take over what ``changing`` gave; the weight itself is loaded as a parameter."""
        self.grid = self.grid.revived(plain)
        own = {name: values for name, values in arrays.items() if isinstance(values, np.ndarray)}
        tiles = {name: values for name, values in arrays.items() if name not in ("alpha", "baseline")}
        self.alpha = torch.as_tensor(own["alpha"])
        baseline = own.get("baseline")
        self.modifier_tick, self.programmings = plain["modifier_tick"], plain["programmings"]
        self.grid.load_state(tiles)
        self.programmed = self.on_tiles = self.compared = self.drawn_for = self.joined = None
        if plain["programmed"] is not None:
            tick, digest, drifts, seconds = plain["programmed"]
            self.programmed = Programmed(tick, digest, baseline, drifts, seconds)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold: which tensor the tiles read last is true of this module alone."""
        own = dict.fromkeys(("on_tiles", "compared", "drawn_for", "joined", "stored"))
        return {**super().__getstate__(), **own, "memory": Recycled()}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> HardwareAwareTiles:
        require_movable(self.grid, fn)
        return super()._apply(fn, recurse)

    def extra_repr(self) -> str:
        return tiles_text(self.grid)

    def note(self, weight: Tensor) -> None:
        """The tiles hold ``weight`` still, though somebody wrote to memory that it is a part of."""
        if isinstance(self.on_tiles, Seen):
            self.on_tiles = Seen.of(weight)

    def bring(self, weight: Tensor) -> None:
        """Put on the tiles what this pass reads, unless they hold it."""
        if self.programmed is not None and not self.training and self.holds(weight):
            if self.on_tiles != (self.programmed.tick, self.programmed.age):
                self._place(self.programmed, self._targets(weight))
        elif not isinstance(self.on_tiles, Seen) or not self.on_tiles.is_(weight):
            if self.stored is not None:
                self.stored.put_on(self.grid, self._mapping())
            else:
                self.grid.set_weights(
                    self.held_there(weight) if self.stays_there(weight) else self.tidied(weight)
                )
            self.on_tiles = Seen.of(weight)

    def _mapping(self) -> Floats | None:
        """a, where the tiles hold W / a."""
        return None if self.out_scale is None else as_array(self.out_scale.mapping)

    def _targets(self, weight: Tensor) -> Floats | None:
        """What was programmed; None where the hosts read it from a file."""
        return None if self.stored is not None else self.held(weight)

    def _place(self, programmed: Programmed, targets_OI: Floats | None) -> None:
        """Give the tiles what a programming of ``targets_OI`` left; None: of what is in a file."""
        if targets_OI is not None:
            self.grid.program(targets_OI, programmed.tick, programmed.age)
        else:
            assert self.stored is not None
            self.stored.put_on(self.grid, self._mapping(), programmed.tick, programmed.age)
        self.on_tiles = programmed.tick, programmed.age

    def holds(self, weight: Tensor) -> bool:
        """Whether ``weight`` is what was programmed, bit for bit; a warning where it is no longer."""
        if self.programmed is None or self.is_digital:
            return False
        if self.compared is None or not self.compared[0].is_(weight):
            same = is_digest_of(self.programmed.digest, matrix_of(self.grid.spec, weight))
            self.compared = Seen.of(weight), same
            if not (same or self.training):
                warnings.warn(
                    f"{self.grid.spec.name}: the weight changed since it was programmed; evaluation reads "
                    "the new weight without programming noise and drift until program_analog_weights()",
                    stacklevel=2,
                )
        return self.compared[1]

    def stays_there(self, weight: Tensor) -> bool:
        """Whether a weight goes to tiles on this process's card without coming to the host.

        Clipping and remapping look for the largest and the spread of weights, on the host.
        """
        changed = (
            self.config.clip.type is not WeightClipType.NONE
            or self.config.remap.type is not WeightRemapType.NONE
        )
        return is_there(weight, self.grid.takes_tensors) and not changed

    def held_there(self, weight: Tensor) -> Tensor:
        """What tiles on a card hold of a weight there: W / a."""
        w_OI: Tensor = self.grid.spec.matrix(plain(weight).to(torch.float32))
        return w_OI if self.out_scale is None else self.out_scale.divide(w_OI)

    def held(self, weight: Tensor) -> Floats:
        """What the tiles hold of a weight as it is: W / a."""
        return self._held(matrix_of(self.grid.spec, weight))

    def _held(self, w_OI: Floats) -> Floats:
        divided: Floats = w_OI if self.out_scale is None else self.out_scale.divide(w_OI)
        return divided

    def tidied(self, weight: Tensor) -> Floats:
        """What the tiles hold, after clipping and remapping the weight as configured.

        That follows every optimizer step, whichever it is. A frozen weight is not clipped: it stays.
        """
        w_OI = matrix_of(self.grid.spec, weight)
        if self.config.clip.type is not WeightClipType.NONE and weight.requires_grad:
            w_OI = self._clipped(w_OI)
            if self.joined is not None:
                self.joined.write(w_OI)
            else:
                with torch.no_grad():
                    weight.copy_(weight_of(self.grid.spec, w_OI))
        if self.out_scale is not None and self.config.remap.type is not WeightRemapType.NONE:
            held_OI = self._held(w_OI)
            scales_O = each_output(self.out_scale.mapping, len(held_OI)).copy()
            remap_weights(held_OI[None], scales_O[None], self.config.remap)
            self.out_scale.store(scales_O)
        return self._held(w_OI)

    def _clipped(self, w_OI: Floats) -> Floats:
        """The weight whose part on each tile is clipped; bounds are those of what the tile holds."""
        held_OI, clipped_OI = self._held(w_OI), w_OI.copy()
        scales_O1 = np.ones((len(w_OI), 1), np.float32)
        if self.out_scale is not None:
            scales_O1[:, 0] = as_array(self.out_scale.mapping)
        for tile in self.grid.spec.tiles:
            block = slice(tile.out_start, tile.out_stop), slice(tile.in_start, tile.in_stop)
            bound_O1 = clip_bound(held_OI[block], self.config.clip) * scales_O1[block[0]]
            np.clip(clipped_OI[block], -bound_O1, bound_O1, out=clipped_OI[block])
        return clipped_OI

    def modification(self, weight: Tensor, samples: int) -> int | None:
        """The draw of this mini-batch's modifier, or None where the weights are not modified.

        One draw serves a mini-batch, however often it reads the tiles, until its weight changes; or one for
        each of its ``samples``, from this number on.
        """
        modifier = self.config.modifier
        if modifier.type is WeightModifierType.NONE and modifier.pdrop == 0:
            return None
        if self.training:
            present, draws = current_mini_batch(), samples if modifier.per_batch_sample else 1
            if not recomputes() and not (self._drew(present, weight) and draws <= self.draws):
                self.modifier_tick, self.draws = self.modifier_tick + draws, draws
                self.drawn_for = present, Seen.of(weight)
            return self.modifier_tick - self.draws + 1
        return self.modifier_tick if modifier.enable_during_test and not self.holds(weight) else None

    def _drew(self, present: object | None, weight: Tensor) -> bool:
        """Whether the last modification is that of the mini-batch ``present``."""
        if present is None or self.drawn_for is None:
            return False
        return self.drawn_for[0] is present and self.drawn_for[1].is_(weight)


def _exact(x_BI: Floats, targets_OI: Floats | None) -> Floats:
    """The exact product; a compensation that compares with it keeps the numbers in this process."""
    assert targets_OI is not None
    y_BO: Floats = x_BI @ targets_OI.T
    return y_BO
