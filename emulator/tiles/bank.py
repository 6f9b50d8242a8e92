"""TileBank: the state of n >= 1 equal physical tiles, stacked, and what they can do.

A bank knows devices and periphery, but neither torch nor processes. Everything random in it is
addressed by the tile's key and by ticks that the caller counts, so a tile behaves the same in any bank.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossgrid.kernels.analog_mvm import periphery, share_networks
from crossgrid.kernels.arrays.build import build_cell
from crossgrid.kernels.arrays.exact import ExactCell
from crossgrid.kernels.arrays.single import SingleDeviceCell
from crossgrid.kernels.backends import Backend, BackendName, Cuda, backend_of
from crossgrid.kernels.inference import ProgrammedState, modified_weights, programmed_weights, weights_at
from crossgrid.kernels.machine.pages import Recycled
from crossgrid.kernels.rng import tile_key

from ..config.rpu import InferenceRPUConfig, RPUConfig, periphery_of, update_of
from .values import are_arrays

Floats = NDArray[np.float32]
Index = NDArray[np.intp]
Mask = NDArray[np.uint8]  # 1: it is so


@dataclass(slots=True)
class TileStats:
    """What a bank's tiles have done, one entry a tile."""

    forward_seconds: NDArray[np.float64]
    forward_count: NDArray[np.int64]  # vectors read
    backward_seconds: NDArray[np.float64]
    backward_count: NDArray[np.int64]
    update_seconds: NDArray[np.float64]
    update_count: NDArray[np.int64]  # vector pairs applied
    pulses: NDArray[np.int64]  # coincidences that moved a device
    adc_clips: NDArray[np.int64]  # conversions that hit the ADC's range
    retries: NDArray[np.int64]  # further attempts of bound management
    conversions: NDArray[np.int64]  # by the ADC, in all attempts
    saturated: NDArray[np.int64]  # crosspoints at one of their bounds, at the last look

    @classmethod
    def zeros(cls, tiles: int) -> TileStats:
        kinds = {each.name: float if each.name.endswith("_seconds") else int for each in fields(cls)}
        counters: dict[str, Any] = {name: np.zeros(tiles, kind) for name, kind in kinds.items()}
        return cls(**counters)


@dataclass(slots=True)
class Effort:
    """What all tiles of a bank did alike."""

    seconds: float = 0.0  # of the whole bank
    vectors: int = 0

    def add(self, start: float, vectors: int) -> None:
        """Note work that began at ``start`` and ends now."""
        self.seconds += time.perf_counter() - start
        self.vectors += vectors


class TileBank:
    """n >= 1 equal tiles W[tiles, out, in] of one layer."""

    def __init__(
        self,
        layer_key: int,
        blocks: Sequence[int],
        out_size: int,
        in_size: int,
        rpu_config: RPUConfig,
        device: BackendName = "cpu",
        backend: Backend | None = None,
    ) -> None:
        """Draw the devices of the layer's blocks ``blocks``; their weights are zero.

        With device "cuda" they live on the card, and what they read and answer are tensors there. A
        ``backend`` that reports late (``Cuda.reporting``) may stand for the device: nothing waits for it.
        """
        forward_io, backward_io = periphery_of(rpu_config)
        keys_T2 = np.stack([tile_key(layer_key, block) for block in blocks])
        shape = out_size, in_size
        self.backend = backend = backend_of(device) if backend is None else backend
        self.cell = build_cell(rpu_config.device, update_of(rpu_config), keys_T2, *shape, backend)
        self.forward_read = periphery(forward_io, keys_T2, *shape, "forward", backend)
        self.backward_read = periphery(backward_io, keys_T2, *shape, "backward", backend)
        share_networks(self.forward_read, self.backward_read)
        self.rpu_config = rpu_config
        self.keys_T2 = keys_T2
        self.tiles = len(blocks)
        self.stats = TileStats.zeros(self.tiles)
        self.forwards, self.backwards, self.updates = Effort(), Effort(), Effort()
        self.memory = Recycled()
        self._told = np.zeros((4, self.tiles), np.int64)  # of what a card has counted, in the statistics
        self._telling = threading.Lock()  # a scrape may look while somebody else does

    def modified(self, tick: int) -> Floats:
        """The weights that the mini-batch ``tick`` of hardware-aware training sees."""
        assert isinstance(self.rpu_config, InferenceRPUConfig)
        w_TOI = self.cell.weights
        return modified_weights(
            w_TOI, self.rpu_config.modifier, self.keys_T2, tick, backend=self.backend,
            out_TOI=None if self.backend.on_card else self.memory.empty(w_TOI.shape),
        )  # fmt: skip

    def forward(
        self, x_XBI: Floats, x_of_tile: Index, tick: int, w_TOI: Floats | None = None, bounded: bool = False
    ) -> tuple[Floats, Mask | None]:
        """y[tiles, B, out] = W x of each tile's own input block, through DAC and ADC.

        Tiles of block NO_BLOCK are not read, and not among the results. ``w_TOI`` stands in for the tiles'
        own weights where a mini-batch sees others. With ``bounded`` also which results stand at the ADC's
        bound; None where none does.
        """
        start = time.perf_counter()
        weights_TOI = self.cell.weights if w_TOI is None else w_TOI
        y_TBO, counts = self.forward_read.read(weights_TOI, x_XBI, x_of_tile, tick, bounded)
        self.forwards.add(start, x_XBI.shape[1] if counts.alike else 0)
        if not counts.alike:
            self.stats.forward_count += counts.vectors
            self.stats.adc_clips += counts.adc_clips
            self.stats.retries += counts.retries
            self.stats.conversions += counts.conversions
        return y_TBO, counts.at_bound_QBL

    def backward(
        self, d_XBO: Floats, d_of_tile: Index, tick: int, w_TOI: Floats | None = None,
        none_TBO: Mask | None = None,
    ) -> Floats:  # fmt: skip
        """z[tiles, B, in] = W^T d of each tile's own output block, through DAC and ADC.

        ``none_TBO`` (on a card alone): 1 where a tile's gradient is none.
        """
        start = time.perf_counter()
        weights_TOI = self.cell.weights if w_TOI is None else w_TOI
        z_TBI, counts = self.backward_read.read(weights_TOI, d_XBO, d_of_tile, tick, none_TBI=none_TBO)
        self.backwards.add(start, d_XBO.shape[1])
        self.stats.adc_clips += counts.adc_clips
        self.stats.conversions += counts.conversions
        return z_TBI

    def update(
        self,
        x_XBI: Floats,
        x_of_tile: Index,
        d_XBO: Floats,
        d_of_tile: Index,
        learning_rate: float,
        tick: int,
        none_TBO: Mask | None = None,
    ) -> None:
        """Pulse the devices for every vector pair, one after another: w <- w - lr d x^T on average.

        ``none_TBO`` (where ``takes_masks``): 1 where a tile's gradient is none.
        """
        start = time.perf_counter()
        order = x_XBI, x_of_tile, d_XBO, d_of_tile, learning_rate, tick
        if none_TBO is None:
            counts = self.cell.update(*order)
        else:
            assert isinstance(self.cell, SingleDeviceCell)  # see ``takes_masks``
            counts = self.cell.update(*order, none_TBO)
        self.updates.add(start, x_XBI.shape[1])
        self.stats.pulses += counts.pulses

    def set_weights(self, w_TOI: Sequence[Floats]) -> None:
        """Write every tile's weights; every device clips to its own bounds."""
        if isinstance(self.cell, ExactCell):  # tile by tile: a stack would be one more copy of the layer
            for held_OI, w_OI in zip(self.cell.to_write(are_arrays(w_TOI)), w_TOI, strict=True):
                held_OI[...] = w_OI
        else:
            self.cell.set_weights(np.stack(w_TOI))

    def program(
        self, targets_TOI: Sequence[Floats], programmed: int, drifted: tuple[float, int] | None
    ) -> None:
        """Hold what programming ``targets_TOI`` leaves: right after it, or (seconds, tick) later.

        Every random number has an address, so nothing is kept between programming and drift but the
        tick ``programmed`` that the programming took place at.
        """
        from crossgrid.kernels.machine.copies import copy_into  # with numba

        assert isinstance(self.rpu_config, InferenceRPUConfig)
        assert isinstance(self.cell, ExactCell)
        self.memory.release()
        for k, targets_OI in enumerate(targets_TOI):
            one = slice(k, k + 1)
            held_TOI = self.cell.to_write()[one]
            copy_into(targets_OI, held_TOI[0])  # and then in place: a tile stays in the cache
            state = ProgrammedState.of(
                held_TOI, self.rpu_config.noise_model, self.keys_T2[one], programmed, self.backend
            )
            if drifted is None:
                programmed_weights(state, out_TOI=held_TOI)
            else:
                weights_at(state, *drifted, out_TOI=held_TOI)

    @functools.cached_property
    def reports_late(self) -> bool:
        """Whether nobody waits for the bank's kernels: what they count and find is on a card."""
        return isinstance(self.backend, Cuda) and self.backend.updates is not None

    @functools.cached_property
    def takes_masks(self) -> bool:
        """Whether an update can be told which gradients are none."""
        single = isinstance(self.cell, SingleDeviceCell) and not self.cell.parameters.exact
        return single and self.reports_late

    def collect(self) -> None:
        """Bring what a card has counted into the statistics: a wait."""
        if not self.reports_late:
            return
        with self._telling:
            forward, backward = self.forward_read.counted(), self.backward_read.counted()
            pulses_T = sum(
                (each.counted() for each in self.cell.populations().values()), np.zeros(self.tiles, np.int64)
            )
            counted = np.stack([forward[0], backward[0], forward[1], pulses_T])
            new, self._told = counted - self._told, counted
            self.stats.adc_clips += new[0] + new[1]
            self.stats.retries += new[2]
            self.stats.conversions += new[2] * self.forward_read.conversions_a_vector
            self.stats.pulses += new[3]

    def look(self) -> TileStats:
        """The statistics, with saturation counted now."""
        self.collect()
        alike = self.forwards.vectors
        stats = replace(
            self.stats,
            forward_count=self.stats.forward_count + alike,
            conversions=self.stats.conversions + alike * self.forward_read.conversions_a_vector,
        )
        stats.forward_seconds[:], _ = self._each(self.forwards)
        stats.backward_seconds[:], stats.backward_count[:] = self._each(self.backwards)
        stats.update_seconds[:], stats.update_count[:] = self._each(self.updates)
        stats.saturated[:] = self.cell.saturated()
        return stats

    def _each(self, effort: Effort) -> tuple[float, int]:
        """Seconds and vectors of one tile."""
        return effort.seconds / self.tiles, effort.vectors

    def state(self, tile: int) -> dict[str, NDArray]:
        """Everything that changes in one tile: enough to go on elsewhere with the same bits."""
        parts = {
            "cell": self.cell.state(),
            "forward": self.forward_read.state(),
            "backward": self.backward_read.state(),
        }
        return {
            f"{part}.{name}": np.array(values[tile])
            for part, state in parts.items()
            for name, values in state.items()
        }

    def averages(self) -> tuple[Floats, Floats]:
        """The running averages that reads forward and backward scale inputs by, [tiles]."""
        return self.forward_read.averages(), self.backward_read.averages()

    def set_averages(self, forward_T: Floats, backward_T: Floats) -> None:
        """Take over what ``averages`` gave."""
        self.forward_read.set_averages(forward_T)
        self.backward_read.set_averages(backward_T)

    def given_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes that populations of devices have in the state of a tile that was given them."""
        return {f"cell.{name}": each.given_shape for name, each in self.cell.populations().items()}

    def load_state(self, states: Sequence[dict[str, NDArray]]) -> None:
        """Take over the states of all tiles, in the bank's order."""
        for part, target in (
            ("cell", self.cell), ("forward", self.forward_read), ("backward", self.backward_read),
        ):  # fmt: skip
            names = [name for name in states[0] if name.startswith(part + ".")]
            target.load_state(
                {name.removeprefix(part + "."): np.stack([s[name] for s in states]) for name in names}
            )
