"""What happens on a chip, counted: the only thing that energy is computed from.

Counts come from a plan (one input through the model) or from a run that was measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..description.adc import conversion_ns, row_groups
from ..description.dac import pass_ns
from ..description.events import Events
from ..description.spec import Chip
from ..plan.plan import MappingPlan
from .messages import values_in
from .traffic import Traffic


def mvm_events(chip: Chip, out: float, in_: float, vectors: float = 1.0) -> Events:
    """``vectors`` vectors through a block of out x in weights of one tile, without what travels.

    Every output is converted once a slice, pass and group of rows that are read at once; what they give is
    shifted and added (Shafiee et al., ISCA 2016, section V). Offset columns are converted with the outputs.
    """
    passes, slices, groups = chip.passes, chip.slices, row_groups(chip, math.ceil(in_))
    columns = out * chip.crossbar.cells_per_weight + chip.crossbar.offset_columns
    return Events(
        mvm=vectors,
        array_pass=vectors * passes * groups,
        cell_pass=vectors * passes * in_ * columns,
        adc_conversion=vectors * (out * slices + chip.crossbar.offset_columns) * passes * groups,
        dac_conversion=vectors * in_ * passes,
        add=vectors * out * (slices * passes * groups - 1),
        buffer_bit=vectors * (in_ + out) * chip.output_bits,
        busy_ns=vectors * mvm_interval_ns(chip, groups),
    )


def layer_events(plan: MappingPlan, chip: Chip, backward: bool = False) -> list[Events]:
    """For each layer what one input makes happen, without what travels (``traffic_events``).

    ``backward`` reads the tiles transposed: outputs are driven, inputs are converted.
    """
    count = len(plan.layers)
    sums = _block_sums(plan, chip, backward)
    kinds = described_kinds(chip)
    programmed = [0.0] * count
    if plan.rounds > 1 and not backward:
        weights = np.bincount(plan.table["layer"], plan.block_weights, minlength=count)
        programmed = (weights / plan.batch).tolist()
    reads = [kind.passes * _pass_ns(kind) for kind in kinds]
    events = []
    for k, (layer, block, on) in enumerate(zip(plan.layers, sums, plan.layer_kind.tolist(), strict=True)):
        kind, passes, one_read = kinds[on], kinds[on].passes, reads[on]
        vectors, made = layer.vectors, layer.in_ if backward else layer.out
        conversions = block.converted * kind.slices + block.groups * kind.crossbar.offset_columns
        events.append(
            Events(
                mvm=vectors * block.blocks,
                array_pass=vectors * block.groups * passes,
                cell_pass=vectors * block.cells * passes,
                adc_conversion=vectors * conversions * passes,
                dac_conversion=vectors * block.driven * passes,
                # slices, passes and groups within a block, then the blocks that make the same values
                add=vectors * (block.converted * kind.slices * passes - made),
                activation=0.0 if backward else float(vectors * made),
                buffer_bit=(vectors * (block.driven + block.made) + values_in(layer)) * chip.output_bits,
                program_weight=programmed[k],
                busy_ns=vectors * (block.groups * one_read + block.blocks * kind.mvm_overhead_ns.value),
            )
        )
    return events


def described_kinds(chip: Chip) -> list[Chip]:
    """The chip as the tiles of each kind are, its own first."""
    return [chip.described(kind) for kind in range(len(chip.kinds) + 1)]


def of_layers(plan: MappingPlan, chip: Chip, figure: Callable[[Chip], float]) -> np.ndarray:
    """A figure of the kind of tile that each layer is on, [layers]."""
    figures: np.ndarray = np.array([figure(kind) for kind in described_kinds(chip)])[plan.layer_kind]
    return figures


def read_ns(plan: MappingPlan, chip: Chip) -> np.ndarray | float:
    """Of one vector the time on each block, of its own groups of rows, [blocks]; one number where all are
    alike."""
    used = np.unique(plan.layer_kind).tolist()
    first = chip.described(used[0])
    if len(used) == 1 and first.rows_at_once >= first.tile_in:  # every block is one read
        return mvm_interval_ns(first)
    rows = plan.table["in_stop"] - plan.table["in_start"]
    found = np.empty(len(rows))
    for number in used:
        kind = chip.described(number)
        chosen = np.flatnonzero((plan.layer_kind == number)[plan.table["layer"]])
        groups, of_block = np.unique(-(-rows[chosen] // kind.rows_at_once), return_inverse=True)
        found[chosen] = np.array([mvm_interval_ns(kind, int(count)) for count in groups])[of_block]
    return found


class _Sums(NamedTuple):
    """Of a layer's blocks: how many they are, the groups of rows that they read, and what these convert."""

    blocks: float
    groups: float
    driven: float
    made: float  # outputs of all blocks
    converted: float  # ... of each group of rows
    cells: float


def _block_sums(plan: MappingPlan, chip: Chip, backward: bool) -> list[_Sums]:
    first = plan.table["copy"] == 0  # copies share the vectors
    table = {key: column[first] for key, column in plan.table.items()}
    out, in_ = table["out_stop"] - table["out_start"], table["in_stop"] - table["in_start"]
    driven, made = (out, in_) if backward else (in_, out)

    def of_block(figure: Callable[[Chip], int]) -> Any:
        """A figure of the kind of tile that each block is on; one number where all are alike."""
        return of_layers(plan, chip, figure)[table["layer"]] if chip.kinds else figure(chip)

    groups = -(-driven // of_block(lambda kind: kind.rows_at_once))
    cells = plan.block_weights[first].astype(np.float64) * of_block(
        lambda kind: kind.crossbar.cells_per_weight
    ) + in_ * of_block(lambda kind: kind.crossbar.offset_columns)
    each = (np.ones(len(out)), groups, driven, made, made.astype(np.float64) * groups, cells)
    columns = [np.bincount(table["layer"], values, minlength=len(plan.layers)).tolist() for values in each]
    return [_Sums(*values) for values in zip(*columns, strict=True)]


def traffic_events(traffic: Traffic) -> list[Events]:
    """For each layer the bits that travel to it and within it, times the links that they pass."""
    pairs = zip(traffic.hop_bits.tolist(), traffic.crossing_bits.tolist(), strict=True)
    return [Events(hop_bit=hop, crossing_bit=crossing) for hop, crossing in pairs]


def training_events(plan: MappingPlan, chip: Chip, pulses_per_weight: float) -> Events:
    """What one training sample adds to its forward pass: the backward pass and the update pulses.

    ``pulses_per_weight`` are those of one crosspoint for one vector; a measured run gives the number.
    """
    pulses = sum(layer.weights * layer.vectors for layer in plan.layers) * pulses_per_weight
    return sum(layer_events(plan, chip, backward=True), Events()) + Events(pulse=pulses)


def measured_events(
    plan: MappingPlan, chip: Chip, vectors: float, pulses: float = 0.0, retries: float = 0.0
) -> Events:
    """Events of a measured run: inputs passed forward, pulses sent, reads repeated by bound management.

    ``retries`` are repeated reads of single tiles; each costs what a read of an average tile costs.
    """
    forward = sum(layer_events(plan, chip), Events())
    again = forward * (retries / forward.mvm)
    repeated = Events(
        mvm=again.mvm, array_pass=again.array_pass, cell_pass=again.cell_pass, add=again.add,
        adc_conversion=again.adc_conversion, dac_conversion=again.dac_conversion, busy_ns=again.busy_ns,
    )  # fmt: skip
    return forward * vectors + repeated + Events(pulse=pulses)


def mvm_interval_ns(chip: Chip, groups: int | None = None) -> float:
    """From one vector to the next on one tile that reads ``groups`` groups of rows (all of its own).

    Its reads, each as long as its slower half where converters overlap with the array (ISAAC, section V),
    else as both; and the overhead of a vector.
    """
    reads = chip.passes * (row_groups(chip) if groups is None else groups)
    return reads * _pass_ns(chip) + chip.mvm_overhead_ns.value


def stages_ns(chip: Chip) -> float:
    """What a vector takes on a tile beside the time from one to the next."""
    return mvm_latency_ns(chip) - mvm_interval_ns(chip)


def program_ns(plan: MappingPlan, chip: Chip, times: int = 1) -> float:
    """Programming the tiles of a round ``times`` times: row after row, all tiles at the same time."""
    used = [chip.described(kind) for kind in np.unique(plan.layer_kind).tolist()]
    return max(kind.tile_in * times * kind.write.time_ns_per_row.value for kind in used)


def mvm_latency_ns(chip: Chip, groups: int | None = None) -> float:
    """From a vector's arrival to its outputs: overlapped conversion of the last pass comes on top, and the
    stages before and after the array that work on other vectors meanwhile."""
    latency = mvm_interval_ns(chip, groups) + chip.stages_ns.value
    if chip.dac is None or chip.adc is None or not chip.adc.overlaps:
        return latency
    return latency + min(pass_ns(chip), chip.adc.columns * conversion_ns(chip))


def _pass_ns(chip: Chip) -> float:
    """One read of a group of rows with its conversions; a digital core's of one row."""
    if chip.digital is not None:
        return chip.digital.columns / chip.digital.macs_per_ns
    if chip.dac is None or chip.adc is None:
        return 0.0
    analog, digital = pass_ns(chip), chip.adc.columns * conversion_ns(chip)
    return max(analog, digital) if chip.adc.overlaps else analog + digital
