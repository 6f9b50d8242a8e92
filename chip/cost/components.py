"""Models of a chip's components: energy and area of one, over the design parameters that they depend on.

A part's published figures hold at its design point; the ratio of the model at the chip's design to the
model at that point scales them (``parts``). A part without figures costs what the model says. Formulas and
fits are this project's own; each constant has its source beside it. Energies are in pJ, areas in mm², times
in ns, nodes in nm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

#: the node at which constants without another are given
NODE_NM = 28.0


class Size(NamedTuple):
    """What one component costs."""

    energy_pj: float  # of one event; of an array, of a pass of all its cells
    area_mm2: float


@dataclass(frozen=True, slots=True)
class Design:
    """Everything that a component's cost depends on."""

    adc_kind: str
    dac_kind: str
    adc_bits: int
    dac_bits: int
    conversion_ns: float  # 0: unknown, the rate costs nothing
    pass_ns: float
    rows: int
    columns: int
    lines: int  # of a tile that are converted
    values: int  # that a tile takes in and gives for one vector
    value_bits: int
    width_bits: int  # of a link
    devices_per_cell: int
    pitch_mm: float  # from tile to tile; 0: unknown
    node_nm: float


# Converters. Lower quartiles (a quantile regression of logarithms) of the 95 entries of B. Murmann's "ADC
# Performance Survey 1997-2024" with 3 to 14 effective bits, 1 MS/s to 2 GS/s and at most 65 nm: what a good
# design reaches. A quarter of the entries lie below the fit in energy, half within a factor of 2.2 above.
LEVEL_PJ = 4.49e-3  # of one of the 2^bits levels, at 28 nm (Walden's figure of merit)
CORNER_GHZ = 6.79  # above this rate of decisions, as many a conversion as bits, their energy grows with it
NODE_ENERGY = 0.826  # exponent of the node in the energy of a conversion
SAR_MM2 = 5.41e-4  # of a converter, extrapolated to no bit, at 28 nm and 100 MS/s
SAR_AREA_BITS = 0.378  # the area grows by 2^0.378 a bit
SAR_AREA_RATE = 0.106  # exponent of the rate in the area
NODE_AREA = 1.887  # exponent of the node in the area
# Thermal noise sets 4^bits: Schreier's figure of merit is at best 185 dB (the same survey's envelope).
THERMAL_PJ = 0.5 * 10 ** ((1.76 - 185.0) / 10) * 1e12
# A flash converter has a comparator a level, whose price is the fit above; latch, ladder and encoder of one
# are 30 um2 at 28 nm (estimate: 20 transistors of 40 F width and their wires).
COMPARATOR_MM2 = 3.0e-5
# A counter toggles two flip-flops a level on average, 1.5 fJ each (estimate: an eighth of an 8-bit addition's
# 30 fJ at 45 nm, Horowitz, ISSCC 2014, at 28 nm).
COUNT_PJ = 3.0e-3
FLIP_FLOP_MM2 = 4.0e-6  # with its wiring, at 28 nm (estimate)
COUNTER_FRONT_MM2 = 2.0e-4  # comparator or oscillator with its capacitor (estimate)

# Rows and cells.
CELL_F2 = 48.0  # one transistor, one resistor: 4 F x 12 F (DNN+NeuroSim manual V1.4)
WIRE_PJ_PER_CELL = 2.0e-4  # 0.2 fF of wire and gate a cell, at 1 V (estimate: 0.2 fF/um of wire)
CELL_PJ_PER_NS = 5.0e-6  # 0.1 V, half of the cells on at 1 uS: 5 nW a cell (estimate)
UNIT_CAPACITOR_PJ = 1.0e-3  # of a voltage DAC's level: 1 fF at 1 V (Saberi et al., TCAS-I 58, 2011)
UNIT_CAPACITOR_MM2 = 1.0e-6
STEP_PJ = 1.0e-3  # a step of a pulse-width modulator: its bits compared with a shared count (estimate)
LINE_MM2 = 4.0e-8  # sample and hold, share of a multiplexer (ISAAC, table I: 1,024 of 0.00004 mm2)

# Digital, at 28 nm.
ADD_PJ_PER_BIT = 3.0e-3  # Horowitz, ISSCC 2014: 0.03 pJ for 8 bits at 45 nm
ADDER_MM2_PER_BIT = 3.0e-6  # full adder and two flip-flops of a standard cell library (estimate)
SRAM_MM2_PER_BIT = 2.5e-7  # a cell of 0.127 um2 (TSMC, IEDM 2009), as much periphery in a small macro
SRAM_PJ_PER_BIT = 2.0e-2  # of a macro of 32 Kbit (estimate: CACTI has 10 to 30 fJ)
SRAM_BITS = 32768.0  # word and bit lines grow with the root of the capacity
ROUTER_PJ_PER_BIT = 0.05  # of a router 32 bits wide (estimate: as much as 0.5 mm of wire)
WIRE_PJ_PER_MM = 0.1  # of a bit: 0.25 pF/mm with repeaters at 0.9 V, half of the bits change (estimate)
USUAL_PITCH_MM = 0.5  # of tiles without areas
ROUTER_MM2_PER_BIT = 6.0e-5  # buffers and switch of 5 ports, 32 bits wide (estimate)
ROUTER_BITS = 32.0  # so wide, buffers and switch matrix cost the same (Wang et al., MICRO 2002)
LOGIC_ENERGY = 1.5  # exponent of the node (Stillmaker and Baas, Integration 58, 2017: 45 to 7 nm)


def size(model: str, design: Design) -> Size:
    """Energy and area of one component of a kind."""
    return _SIZES[model](design)


def _adc(design: Design) -> Size:
    return _CONVERTERS[design.adc_kind](design)


def _sar(design: Design) -> Size:
    """A decision a bit against a capacitor array."""
    bits, rate = design.adc_bits, _rate_ghz(design)
    energy = (LEVEL_PJ * 2.0**bits + THERMAL_PJ * 4.0**bits) * (1.0 + rate * bits / CORNER_GHZ)
    area = SAR_MM2 * 2.0 ** (SAR_AREA_BITS * bits) * ((rate / 0.1) ** SAR_AREA_RATE if rate else 1.0)
    return Size(energy * _node(design, NODE_ENERGY), area * _node(design, NODE_AREA))


def _flash(design: Design) -> Size:
    """A comparator for each of the levels between which it decides, all at once."""
    levels = 2.0**design.adc_bits - 1.0
    energy = LEVEL_PJ * levels + THERMAL_PJ * 4.0**design.adc_bits
    return Size(
        energy * (1.0 + _rate_ghz(design) / CORNER_GHZ) * _node(design, NODE_ENERGY),
        COMPARATOR_MM2 * levels * _node(design, NODE_AREA),
    )


def _counter(design: Design) -> Size:
    """Passes every level: two flip-flops toggle at each, and the comparator's noise is as in others."""
    bits = design.adc_bits
    energy = COUNT_PJ * 2.0**bits + THERMAL_PJ * 4.0**bits
    area = COUNTER_FRONT_MM2 + FLIP_FLOP_MM2 * bits
    return Size(energy * _node(design, LOGIC_ENERGY), area * _node(design, NODE_AREA))


def _rate_ghz(design: Design) -> float:
    return 1.0 / design.conversion_ns if design.conversion_ns else 0.0


def _dac(design: Design) -> Size:
    """A row's driver: the row's wire, and a capacitor a level or the steps of a pulse."""
    wire = WIRE_PJ_PER_CELL * design.columns
    levels = 2.0**design.dac_bits
    if design.dac_kind == "voltage":
        energy, area = wire + UNIT_CAPACITOR_PJ * levels, FLIP_FLOP_MM2 + UNIT_CAPACITOR_MM2 * levels
    else:
        energy, area = wire + STEP_PJ * levels / 2.0, 2.0 * FLIP_FLOP_MM2 * design.dac_bits
    return Size(energy * _node(design, LOGIC_ENERGY), area * _node(design, 2.0))


def _array(design: Design) -> Size:
    cells = float(design.rows) * design.columns * design.devices_per_cell
    area = cells * CELL_F2 * (design.node_nm * 1e-6) ** 2
    return Size(cells * CELL_PJ_PER_NS * max(design.pass_ns, 1.0), area)


def _line(design: Design) -> Size:
    """What each converted line has of its own."""
    return Size(0.0, LINE_MM2 * _node(design, 2.0))


def _adder(design: Design) -> Size:
    return Size(
        ADD_PJ_PER_BIT * design.value_bits * _node(design, LOGIC_ENERGY),
        ADDER_MM2_PER_BIT * design.value_bits * design.lines * _node(design, 2.0),
    )


def _buffer(design: Design) -> Size:
    """Room for what a tile takes in and gives; a bit's energy grows with the root of the capacity."""
    bits = float(design.values) * design.value_bits
    return Size(
        SRAM_PJ_PER_BIT * math.sqrt(bits / SRAM_BITS) * _node(design, LOGIC_ENERGY),
        SRAM_MM2_PER_BIT * bits * _node(design, 2.0),
    )


def _link(design: Design) -> Size:
    """Buffers grow with the width, the switch matrix with its square: each bit crosses the wires of all; then
    it passes a tile."""
    wide = design.width_bits / ROUTER_BITS
    router = ROUTER_PJ_PER_BIT * (1.0 + wide) / 2.0
    wire = WIRE_PJ_PER_MM * (design.pitch_mm or USUAL_PITCH_MM)
    return Size(
        (router + wire) * _node(design, LOGIC_ENERGY),
        ROUTER_MM2_PER_BIT * ROUTER_BITS * wide * (1.0 + wide) / 2.0 * _node(design, 2.0),
    )


def _node(design: Design, exponent: float) -> float:
    return float((design.node_nm / NODE_NM) ** exponent)


_CONVERTERS = {"sar": _sar, "flash": _flash, "counter": _counter}
_SIZES = {
    "adc": _adc, "dac": _dac, "array": _array, "line": _line,
    "adder": _adder, "buffer": _buffer, "link": _link,
}  # fmt: skip
