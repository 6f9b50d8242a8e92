"""Programming weights into a bank of tiles, and what is left of them after a while.

Every random number has an address, so a programmed tile need not be stored: its targets, its key
and the tick of its programming give the same pairs of conductances and drift exponents again. A bank
therefore keeps 4 bytes a crosspoint for the targets beside the 4 of its present weights.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..backends import CPU, Backend
from ..errors import CrossgridError, InputError
from ..rng import Stream
from .draws import Draws
from .fused import is_fused, leave
from .noise.base import BaseNoiseModel
from .noise.converters import ConductanceScale

Array = NDArray[np.float32]
CROSSPOINTS_AT_ONCE = 1 << 15  # temporaries of this size stay in the second-level cache


class NotProgrammedError(CrossgridError, RuntimeError):
    """Drift was asked for before programming."""


@dataclass(frozen=True, slots=True)
class ProgrammedState:
    """All that is needed to know a programmed bank at any later time."""

    model: BaseNoiseModel
    targets_TOI: Array
    scales_T: tuple[ConductanceScale, ...]
    keys_T2: NDArray[np.uint32]
    tick: int  # of the programming
    backend: Backend = CPU

    @classmethod
    def of(
        cls,
        targets_TOI: Array,
        model: BaseNoiseModel,
        keys_T2: NDArray[np.uint32],
        tick: int,
        backend: Backend,
    ) -> ProgrammedState:
        """As ``program``, of finite weights, by a model that stays as it is while the state is used."""
        scales = tuple(model.g_converter.scale_of(w_OI) for w_OI in targets_TOI)
        return cls(model, targets_TOI, scales, keys_T2, tick, backend)


def program(
    targets_TOI: Array,
    model: BaseNoiseModel,
    keys_T2: NDArray[np.uint32],
    tick: int,
    backend: Backend = CPU,
) -> ProgrammedState:
    """Program weights [tiles, out, in]; the array is kept, not copied: do not change it afterwards."""
    if not np.isfinite(targets_TOI).all():
        raise InputError("cannot program weights that hold NaN or infinity")
    return ProgrammedState.of(targets_TOI, copy.deepcopy(model), keys_T2, tick, backend)


def programmed_weights(state: ProgrammedState, *, out_TOI: Array | None = None) -> Array:
    """The weights right after programming, before any drift; ``out_TOI`` may be the targets themselves."""
    out_TOI = np.empty_like(state.targets_TOI) if out_TOI is None else out_TOI
    if is_fused(state.model, state.backend):
        return _left(state, None, out_TOI)
    for part in _parts(state):
        g = part.programmed()
        part.of(out_TOI)[...] = state.model.g_converter.convert_back_to_weights(g, part.scale)
    return out_TOI


def weights_at(
    state: ProgrammedState | None,
    t_inference: float,
    tick: int,
    *,
    reconvert: bool = False,
    out_TOI: Array | None = None,
) -> Array:
    """The weights ``t_inference`` seconds after programming, as a read at ``tick`` finds them.

    Always starts from the programmed state: two calls with one time and tick give the same weights.
    ``out_TOI`` may be the targets themselves, where the state is not needed any more.
    With ``reconvert`` only the difference of a pair survives programming, as in aihwkit: it is split
    anew, by the scale of the programmed weights, before it drifts.
    """
    if state is None:
        raise NotProgrammedError("drift before programming: call program_analog_weights() first")
    if not (math.isfinite(t_inference) and t_inference >= 0.0):
        raise InputError(f"t_inference = {t_inference} s must be finite and at least 0")
    out_TOI = np.empty_like(state.targets_TOI) if out_TOI is None else out_TOI
    if is_fused(state.model, state.backend) and not reconvert:
        return _left(state, (t_inference, tick), out_TOI)
    if reconvert:
        programmed_TOI = programmed_weights(state)
        scales = tuple(state.model.g_converter.scale_of(w_OI) for w_OI in programmed_TOI)
    for part in _parts(state):
        if reconvert:
            scale = scales[part.tile]
            g_prog = state.model.g_converter.convert_to_conductances(part.of(programmed_TOI), scale)
        else:
            scale, g_prog = part.scale, part.programmed()
        g = part.drifted(g_prog, part.exponents(), t_inference, tick)
        part.of(out_TOI)[...] = state.model.g_converter.convert_back_to_weights(g, scale)
    return out_TOI


def weights_over_time(state: ProgrammedState, times_s: Sequence[float], tick: int) -> tuple[Array, Array]:
    """The programmed weights [tiles, out, in], and those of ``weights_at`` at each of ``times_s``.

    The latter are [times, tiles, out, in]; what is drawn at programming is drawn once for all times.
    """
    programmed_TOI = np.empty_like(state.targets_TOI)
    weights_NTOI = np.empty((len(times_s), *state.targets_TOI.shape), np.float32)
    back = state.model.g_converter.convert_back_to_weights
    for part in _parts(state):
        g_prog, exponents = part.programmed(), part.exponents()
        part.of(programmed_TOI)[...] = back(g_prog, part.scale)
        for w_TOI, t_s in zip(weights_NTOI, times_s, strict=True):
            part.of(w_TOI)[...] = back(part.drifted(g_prog, exponents, t_s, tick), part.scale)
    return programmed_TOI, weights_NTOI


def drift_coefficients(state: ProgrammedState) -> list[Array]:
    """What the devices keep for their drift, [tiles, out, in] for each conductance of a crosspoint."""
    found = [np.empty_like(state.targets_TOI) for _ in next(_parts(state)).targets()]
    for part in _parts(state):
        for nu_TOI, nu in zip(found, part.exponents(), strict=True):
            part.of(nu_TOI)[...] = nu
    return found


def _left(state: ProgrammedState, drifted: tuple[float, int] | None, out_TOI: Array) -> Array:
    """What is left on the devices, by the compiled kernel of the model."""
    if out_TOI is not state.targets_TOI:
        out_TOI[...] = state.targets_TOI
    leave(state.model, out_TOI, state.scales_T, state.keys_T2, state.tick, drifted)
    return out_TOI


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rows of one tile."""

    state: ProgrammedState
    tile: int
    first: int
    last: int

    @property
    def scale(self) -> ConductanceScale:
        return self.state.scales_T[self.tile]

    def of(self, w_TOI: Array) -> Array:
        return w_TOI[self.tile, self.first : self.last]

    def draws(self, stream: Stream, tick: int, conductance: int) -> Draws:
        shape = (self.last - self.first, self.state.targets_TOI.shape[2])
        key = self.state.keys_T2[self.tile]
        return Draws(key, stream, tick, self.first, shape, conductance, self.state.backend)

    def targets(self) -> list[Array]:
        converter = self.state.model.g_converter
        return converter.convert_to_conductances(self.of(self.state.targets_TOI), self.scale)

    def programmed(self) -> list[Array]:
        """The conductances right after programming."""
        model, tick = self.state.model, self.state.tick
        return [
            model.apply_programming_noise_to_conductance(g, self.draws(Stream.PROGRAMMING, tick, k))
            for k, g in enumerate(self.targets())
        ]

    def drifted(
        self, g_prog: list[Array], exponents: list[Array], t_inference: float, tick: int
    ) -> list[Array]:
        """The conductances ``t_inference`` seconds later."""
        model = self.state.model
        return [
            model.apply_drift_noise_to_conductance(g, nu, t_inference, self.draws(Stream.READ_NOISE, tick, k))
            for k, (g, nu) in enumerate(zip(g_prog, exponents, strict=True))
        ]

    def exponents(self) -> list[Array]:
        """What each device keeps for its drift."""
        model, tick = self.state.model, self.state.tick
        return [
            model.generate_drift_coefficients(g, self.draws(Stream.DRIFT_EXPONENT, tick, k))
            for k, g in enumerate(self.targets())
        ]


def _parts(state: ProgrammedState) -> Iterator[_Part]:
    tiles, rows, columns = state.targets_TOI.shape
    step = max(1, CROSSPOINTS_AT_ONCE // columns)
    for tile in range(tiles):
        for first in range(0, rows, step):
            yield _Part(state, tile, first, min(first + step, rows))
