"""A chain of arrays in which each passes on to the next what it has learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays.array import DeviceArray
from ...arrays.cell import Array, Keys, UpdateCounts, checked_vectors, fetched
from ...backends import Backend
from ...pulsed_update.arguments import Looks, Vectors
from ...pulsed_update.parameters import UpdateParameters
from ...rng import Stream
from ..numbers.draws import Purpose
from ..reading import LineReader
from ..unit_cell import Members, build_members, check_rate, counter, load_counter, numbers_of, part, placed
from .config import TransferCompound
from .rules import Reads, Rule

_READERS = 64  # member numbers of the readers' keys start here
_TRANSFER = 1  # `extra` of the draws of a reset
LOOKS_WORTH_A_KERNEL = 3  # reads in one update from which on a compiled call takes them all


@dataclass(frozen=True, slots=True)
class Pulses:
    """The vectors that one array receives in an update."""

    vectors: Vectors
    parameters: UpdateParameters
    rate: float
    granularity: float
    tick: int

    def part(self, start: int, stop: int) -> Pulses:
        """Those of the vectors start .. stop."""
        return replace(self, vectors=part(self.vectors, start, stop), tick=self.tick + start)


class TransferCell(Members):
    """Arrays 0 (fast) .. n - 1 (slow); the rule says what a transfer writes.

    An array never depends on the ones behind it. So an update goes through the chain once: all pulses of
    an array with all reads in between, then what the reads write into the next one, as one batch.
    """

    def __init__(
        self, compound: TransferCompound, rule: Callable[[TransferCell], Rule], parameters: UpdateParameters,
        keys_T2: Keys, out_size: int, in_size: int, backend: Backend,
    ) -> None:  # fmt: skip
        self.compound, self.parameters, self.keys_T2 = compound, parameters, keys_T2
        devices = compound.unit_cell_devices
        self.members = build_members(compound, devices, parameters, keys_T2, out_size, in_size, backend)
        self.granularity = float(np.mean([member.granularity for member in self.members]))
        self.gamma = compound.weights_of_members()
        self.hidden = not any(self.gamma[:-1]) and self.gamma[-1] == 1.0
        self.lines, self.others = (in_size, out_size) if compound.transfer_columns else (out_size, in_size)
        self.per_transfer = min(compound.n_reads_per_transfer, self.lines)
        self.backend, self.kernels, self.numbers = backend, backend.transfers, numbers_of(backend)
        self._numbers = self.numbers
        self.readers = [
            LineReader(
                compound.transfer_forward, keys_T2, _READERS + k, out_size, in_size,
                compound.transfer_columns, backend,
            )
            for k in range(len(devices) - 1)
        ]  # fmt: skip
        keys = [member.keys_T2 for member in self.members[:-1]]
        self._choices = [
            self.numbers.Choices(
                key_T2, Stream.TRANSFER, self.lines, self.per_transfer, compound.random_selection
            )
            for key_T2 in keys
        ]
        self._reset_draws = [self.numbers.LineDraws(each, Stream.TRANSFER, Purpose.RESET) for each in keys]
        self.rule = rule(self)
        self._updates = 0  # vectors so far
        self._reads = [0] * len(self.readers)  # lines read so far, of each array
        if not self.hidden:
            self._show_first()

    @property
    def weights(self) -> Any:
        """W_TOI float32, what the analog product sees; a tensor where the backend is on a card."""
        return self.members[-1].weights if self.hidden else super().weights

    def zeros_TLM(self) -> Any:
        """A number for each crosspoint: [tiles, lines that are transferred, positions along a line]."""
        return self.numbers.zeros((self.shape[0], self.lines, self.others))

    def _changed(self) -> None:
        if not self.hidden:
            super()._changed()

    def _show(self, w_TOI: Any) -> None:
        seen = [member.weights for member in self.members]
        self.numbers.add_up(self.gamma, [self.rule.visible(seen[0]), *seen[1:]], w_TOI)

    def update(
        self, x_XBI: Any, x_of_T: Any, d_DBO: Any, d_of_T: Any, learning_rate: float, tick: int
    ) -> UpdateCounts:
        """Pulse the vectors, transfer where it is due, then diffusion and decay."""
        vectors = checked_vectors(x_XBI, x_of_T, d_DBO, d_of_T, self.shape)
        vectors = placed(vectors, self.numbers)
        check_rate(learning_rate)
        pulses_T = np.zeros(self.shape[0], np.int64)
        if learning_rate > 0.0 and vectors.batch > 0:
            pulses_T += self._through_the_chain(vectors, learning_rate, tick)
            self._updates += vectors.batch
        for member in self.members:
            member.end_of_batch(tick + max(vectors.batch - 1, 0))
        self._changed()
        return UpdateCounts(pulses_T)

    def _through_the_chain(self, vectors: Vectors, learning_rate: float, tick: int) -> NDArray[np.int64]:
        due = [self._due(level, vectors.batch) for level in range(len(self.readers))]
        after_E = due[0] + 1
        reads = self._choose_lines(0, after_E)
        fast_vectors, rate = self.rule.fast_update(vectors, learning_rate, reads)
        pulses = Pulses(fast_vectors, self.parameters, rate, self.granularity, tick)
        pulses_T = np.zeros(self.shape[0], np.int64)
        for level, reader in enumerate(self.readers):
            if level > 0:
                # transfers into this array come before the transfer out of it at the same vector
                before_E = np.searchsorted(due[level - 1], due[level], side="right")
                reads = self._choose_lines(level, before_E * self.per_transfer)
            read_TNM, fired_T = self._pulse_and_read(level, pulses, reads, reader)
            pulses_T += fired_T
            self._reads[level] += reads.count
            wanted_TNM, rate = self.rule.writes(level, read_TNM, reads, learning_rate)
            pulses = self._as_pulses(wanted_TNM, reads, rate, self.members[level + 1].granularity)
        return pulses_T + self.members[-1].pulse(
            pulses.vectors, pulses.parameters, pulses.rate, pulses.tick, granularity=pulses.granularity
        )

    def _due(self, level: int, batch: int) -> NDArray[np.int64]:
        """The vectors of a mini-batch after which array ``level`` is transferred."""
        own = self.compound
        every = own.transfer_every * (self.others / own.n_reads_per_transfer) ** level
        if own.transfer_every_vec:
            every = own.transfer_every_vec[level]
        period = (
            int(np.ceil(np.float32(every) * np.float32(batch))) if own.units_in_mbatch else int(every + 0.5)
        )
        if period <= 0:
            return np.zeros(0, np.int64)
        return np.arange(period - self._updates % period - 1, batch, period, dtype=np.int64)

    def _choose_lines(self, level: int, after_E: NDArray[np.int64]) -> Reads:
        """Consecutive lines for every transfer, going on where the last one ended unless random."""
        first = self._reads[level]
        lines_TN = self._choices[level].take(first, len(after_E))
        return Reads(first, np.repeat(after_E, self.per_transfer), lines_TN)

    def _pulse_and_read(
        self, level: int, pulses: Pulses, reads: Reads, reader: LineReader
    ) -> tuple[Any, NDArray[np.int64]]:
        """Pulse an array with all its vectors; what was read in between [tiles, reads, line], and pulses."""
        member, columns = self.members[level], self.compound.transfer_columns
        lines_TNM = self.numbers.empty((self.shape[0], reads.count, self.others))
        resets_TN = self._resets(level, reads)
        at_once = self.backend.notes_looks and resets_TN is None and not reader.whole
        worth_it = reads.count >= LOOKS_WORTH_A_KERNEL and not pulses.parameters.exact
        if isinstance(member, DeviceArray) and at_once and worth_it:
            looks = Looks(reads.after_N, reads.lines_TN, columns, lines_TNM)
            fired_T = member.pulse(
                pulses.vectors, pulses.parameters, pulses.rate, pulses.tick,
                granularity=pulses.granularity, looks=looks,
            )  # fmt: skip
            return reader.read(lines_TNM, reads.first), fired_T
        fired_T, done = np.zeros(self.shape[0], np.int64), 0
        for n, after in enumerate(reads.after_N):
            if after > done:
                some = pulses.part(done, int(after))
                fired_T += member.pulse(
                    some.vectors, some.parameters, some.rate, some.tick, granularity=some.granularity
                )
                done = int(after)
            line_T = reads.lines_TN[:, n]
            if reader.whole:
                lines_TNM[:, n] = reader.read_whole(member.weights, line_T, reads.first + n)
            else:
                lines_TNM[:, n] = self.numbers.line(member.weights, line_T, columns)
            if resets_TN is not None:
                mask_TOI = self.numbers.columns_mask(self.shape, line_T, resets_TN[:, n])
                if mask_TOI is not None:
                    member.reset(reads.first + n, extra=_TRANSFER, mask_TOI=mask_TOI)
        rest = pulses.part(done, pulses.vectors.batch)
        fired_T += member.pulse(
            rest.vectors, rest.parameters, rest.rate, rest.tick, granularity=rest.granularity
        )
        return lines_TNM if reader.whole else reader.read(lines_TNM, reads.first), fired_T

    def _resets(self, level: int, reads: Reads) -> Any:
        """Which reads are followed by a reset of their column [tiles, reads]."""
        probability = self.compound.with_reset_prob
        if probability == 0.0:
            return None
        uniform_TN = self._reset_draws[level].uniforms(reads.first, reads.count)
        return uniform_TN < float(np.float32(probability))

    def _as_pulses(self, wanted_TNM: Any, reads: Reads, rate: float, granularity: float) -> Pulses:
        """Writing ``wanted`` into the lines that were read: a one-hot line and minus what is wanted."""
        tiles = self.shape[0]
        lines_XN = reads.lines_TN if self.compound.random_selection else reads.lines_TN[:1]
        one_hot_XNL = self.numbers.one_hot(lines_XN, self.lines)
        of_tile, all_tiles = np.arange(tiles) % len(lines_XN), np.arange(tiles)
        if self.compound.transfer_columns:
            vectors = Vectors(one_hot_XNL, of_tile, -wanted_TNM, all_tiles)
        else:
            vectors = Vectors(-wanted_TNM, all_tiles, one_hot_XNL, of_tile)
        return Pulses(vectors, self.compound.transfer_update, rate, granularity, reads.first)

    def set_weights(self, w_TOI: Array) -> None:
        """Write weights into the last array; the others and what they had collected are emptied."""
        w_TOI = np.asarray(w_TOI, np.float32)
        for member in self.members[:-1]:
            member.set_weights(np.zeros(self.shape, np.float32))
        self.members[-1].set_weights(w_TOI / np.float32(self.gamma[-1]))
        self.rule.clear()
        self._changed()

    def state(self) -> dict[str, Any]:
        """Everything that changes."""
        tiles = self.shape[0]
        counters = {f"reads_{k}": counter(tiles, reads) for k, reads in enumerate(self._reads)}
        counters["updates"] = counter(tiles, self._updates)
        return {**self.members_state(), **counters, **self.rule.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` gave."""
        self.load_members(state)
        self._updates = load_counter("updates", state["updates"])
        self._reads = [load_counter(f"reads_{k}", state[f"reads_{k}"]) for k in range(len(self._reads))]
        self.rule.load_state(state)
        self._changed()

    def hidden_parameters(self) -> dict[str, Array]:
        """The drawn populations, the arrays and what the rule holds."""
        collected = {name: fetched(values) for name, values in self.collected().items()}
        return {**super().hidden_parameters(), **collected}

    def collected(self) -> dict[str, Any]:
        """What the rule holds of each crosspoint, in place [tiles, out, in]."""
        return self.rule.collected()

    def reset(self, tick: int, columns: slice = slice(None), probability: float = 1.0) -> None:
        """Reset devices of ``columns`` in the fast array, each with ``probability``."""
        self.members[0].reset(tick, columns, probability)
        self._changed()

    def drift(self, delta_t: float, tick: int) -> None:
        """Let ``delta_t`` pass."""
        for member in self.members:
            member.drift(delta_t, tick)
        self._changed()
