"""The output lines of a crossbar of pairs as ladders of resistors, from their far ends to the ADC.

Each crossing has two devices, g+ and g-, on one output line. While an input is on with sign s, their other
ends are at 0.2 s volts above and below a level in the middle; while it is off, at the level. What an output
line sees of a crossing is therefore one source of conductance g+ + g-, always the same, whose voltage alone
depends on the input:

    V = 0.2 s (g+ - g-) / (g+ + g-).

``rows`` neighbouring crossings count as one node of the line, which is the sum of their sources; between
two nodes lie ``rows`` pieces of wire, and half of that between the last node and the ADC. Seen from behind
a wire of resistance R, what lies before it, a current source beside a conductance G (Norton), has both
divided by 1 + G R. Joined from the far end on, a line's current into an ADC that holds it ``offset`` volts
above the level is therefore linear in the inputs' signs, with factors that depend on conductances alone:

    I_i = sum_j a_ij s_j - offset G_i,    a_ij = 0.2 V (g+ - g-)_ij prod over wires behind j of 1 / (1 + G R).

Source: the circuit that aihwkit 1.1.0 solves step of time by step of time (tiles/analog_mvm_irdrop_t.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

READ_VOLTS = 0.2
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ladders:
    """What the output lines of one crossbar make of their inputs."""

    ua_OI: Doubles  # a: current of an input that is on, in µA
    per_us_OI: Doubles  # the same for each µS of g+ - g-
    siemens_O: Doubles  # G, what the ADC sees of a line


def ladders(plus_OI: Doubles, minus_OI: Doubles, segments: int, wire_ohm: float) -> Ladders:
    """The lines of conductances ``plus_OI``, ``minus_OI`` in µS [out, in], cut into ``segments`` nodes.

    The ADC is at the end of the last input. ``wire_ohm`` is the resistance of a line between two crossings.
    """
    outputs, inputs = plus_OI.shape
    rows = inputs // segments
    node_OS = (plus_OI + minus_OI).reshape(outputs, segments, rows).sum(axis=2) * 1e-6  # S
    reaches_OS, siemens_O = np.ones((outputs, segments)), np.zeros(outputs)
    for s in range(segments):
        wire = wire_ohm * rows * (1.0 if s < segments - 1 else 0.5)
        siemens_O = siemens_O + node_OS[:, s]
        passed_O = 1.0 / (1.0 + siemens_O * wire)
        reaches_OS[:, : s + 1] *= passed_O[:, None]
        siemens_O = siemens_O * passed_O
    per_us_OI = np.repeat(READ_VOLTS * reaches_OS, rows, axis=1)
    return Ladders(per_us_OI * (plus_OI - minus_OI), per_us_OI, siemens_O)
