"""What happens on a chip, counted: the only thing that energy is computed from.

Counts come from a plan (one input through the model) or from a run that was measured.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from crossgrid.kernels.config import field
from crossgrid.kernels.errors import ConfigError

from ..description.spec import Chip
from ..plan.plan import MappingPlan
from .messages import values_in
from .traffic import Traffic


@dataclass(frozen=True, slots=True)
class Events:
    """Counts of what costs energy; fields are the events that a chip file's parts name."""

    mvm: float = field(0.0, at_least=0.0)
    array_pass: float = field(0.0, at_least=0.0)
    adc_conversion: float = field(0.0, at_least=0.0)
    dac_conversion: float = field(0.0, at_least=0.0)
    add: float = field(0.0, at_least=0.0)
    activation: float = field(0.0, at_least=0.0)
    buffer_bit: float = field(0.0, at_least=0.0)
    hop_bit: float = field(0.0, at_least=0.0)
    crossing_bit: float = field(0.0, at_least=0.0)
    pulse: float = field(0.0, at_least=0.0)
    program_weight: float = field(0.0, at_least=0.0)
    busy_ns: float = field(0.0, at_least=0.0)  # summed over tiles
    static_ns: float = field(0.0, at_least=0.0)

    def __post_init__(self) -> None:
        for name in EVENT_NAMES:
            value = getattr(self, name)
            if not value >= 0.0 or value == float("inf"):
                raise ConfigError(f"Events.{name} = {value!r} must be a finite count of at least 0")

    def __add__(self, other: Events) -> Events:
        return Events(*(getattr(self, name) + getattr(other, name) for name in EVENT_NAMES))

    def __mul__(self, factor: float) -> Events:
        return Events(*(getattr(self, name) * factor for name in EVENT_NAMES))


EVENT_NAMES = tuple(spec.name for spec in fields(Events))


def mvm_events(chip: Chip, out: float, in_: float, vectors: float = 1.0) -> Events:
    """``vectors`` vectors through a block of out x in weights of one tile, without what travels.

    Every output is converted once a slice and pass; slices and passes are shifted and added
    (Shafiee et al., ISCA 2016, section V). Offset columns are converted with the outputs.
    """
    passes, slices = chip.passes, chip.slices
    conversions = (out * slices + chip.crossbar.offset_columns) * passes
    return Events(
        mvm=vectors,
        array_pass=vectors * passes,
        adc_conversion=vectors * conversions,
        dac_conversion=vectors * in_ * passes,
        add=vectors * out * (slices * passes - 1),
        buffer_bit=vectors * (in_ + out) * chip.output_bits,
        busy_ns=vectors * mvm_interval_ns(chip),
    )


def layer_events(plan: MappingPlan, chip: Chip, backward: bool = False) -> list[Events]:
    """For each layer what one input makes happen, without what travels (``traffic_events``).

    ``backward`` reads the tiles transposed: outputs are driven, inputs are converted.
    """
    table, count = plan.table, len(plan.layers)
    if plan.table["copy"].any():  # copies share the vectors
        table = {key: column[plan.table["copy"] == 0] for key, column in plan.table.items()}
    number = table["layer"]
    out, in_ = table["out_stop"] - table["out_start"], table["in_stop"] - table["in_start"]
    blocks = np.bincount(number, minlength=count).tolist()
    converted = np.bincount(number, in_ if backward else out, minlength=count).tolist()
    driven = np.bincount(number, out if backward else in_, minlength=count).tolist()
    programmed = [0.0] * count
    if plan.rounds > 1 and not backward:
        programmed = np.bincount(plan.table["layer"], plan.block_weights, minlength=count).tolist()
    passes, slices, interval = chip.passes, chip.slices, mvm_interval_ns(chip)
    events = []
    for k, layer in enumerate(plan.layers):
        vectors, made = layer.vectors, layer.in_ if backward else layer.out
        conversions = (converted[k] * slices + blocks[k] * chip.crossbar.offset_columns) * passes
        events.append(
            Events(
                mvm=vectors * blocks[k],
                array_pass=vectors * blocks[k] * passes,
                adc_conversion=vectors * conversions,
                dac_conversion=vectors * driven[k] * passes,
                # slices and passes within a block, then the blocks that make the same values
                add=vectors * (converted[k] * (slices * passes - 1) + converted[k] - made),
                activation=0.0 if backward else float(vectors * made),
                buffer_bit=(vectors * (driven[k] + converted[k]) + values_in(layer)) * chip.output_bits,
                program_weight=programmed[k],
                busy_ns=vectors * blocks[k] * interval,
            )
        )
    return events


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
        mvm=again.mvm, array_pass=again.array_pass, adc_conversion=again.adc_conversion,
        dac_conversion=again.dac_conversion, add=again.add, busy_ns=again.busy_ns,
    )  # fmt: skip
    return forward * vectors + repeated + Events(pulse=pulses)


def mvm_interval_ns(chip: Chip) -> float:
    """From one vector to the next on one tile: its passes, each as long as its slower half where
    converters overlap with the array (ISAAC, section V), else as both; and the overhead of a vector."""
    if chip.dac is None or chip.adc is None:
        return chip.mvm_overhead_ns.value
    analog = chip.dac.time_ns.value
    digital = chip.adc.columns * chip.adc.time_ns.value
    one_pass = max(analog, digital) if chip.adc.overlaps else analog + digital
    return chip.passes * one_pass + chip.mvm_overhead_ns.value


def mvm_latency_ns(chip: Chip) -> float:
    """From a vector's arrival to its outputs: overlapped conversion of the last pass comes on top."""
    if chip.dac is None or chip.adc is None or not chip.adc.overlaps:
        return mvm_interval_ns(chip)
    analog, digital = chip.dac.time_ns.value, chip.adc.columns * chip.adc.time_ns.value
    return mvm_interval_ns(chip) + min(analog, digital)
