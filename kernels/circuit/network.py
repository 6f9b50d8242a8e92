"""The resistive network of one crossbar.

Inputs drive lines that run down, outputs are sensed at lines that run across; where two lines cross, a
device of conductance g_ij joins them. Every piece of wire between two crossings has a resistance, and
so has the piece between the first crossing and the driver or the sense amplifier, a virtual ground::

                     u_0           u_1           u_2        drivers
                      |             |             |
                    R_drive       R_drive       R_drive
                      |             |             |
                     R_in          R_in          R_in
                      | g_00        | g_01        | g_02
    0 V --R_sense--R_out--*--R_out--|--*--R_out---|--*       output 0 (a * is where a device, whose
                      |             |             |                    other end is on the input line,
                     R_in          R_in          R_in                  meets the output line)
                      | g_10        | g_11        | g_12
    0 V --R_sense--R_out--*--R_out--|--*--R_out---|--*       output 1
                      |             |             |
                     ...           ...           ...

The far ends of all lines are open. A signed weight is the difference of two such crossbars, one for
positive and one for negative weights, that get the same inputs. Without wires, output i is sum_j g_ij u_j.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..config import Config, config, field
from ..errors import InputError


@config
class CrossbarCircuit(Config):
    """Resistances of a tile's wires and conductance of its devices; 0 Ω makes a line ideal."""

    wire_in: float = field(0.35, at_least=0.0)
    """Resistance of an input line between two crossings in Ω."""
    wire_out: float = field(0.35, at_least=0.0)
    """Resistance of an output line between two crossings in Ω."""
    driver: float = field(0.0, at_least=0.0)
    """Resistance of an input's driver in Ω."""
    sense: float = field(0.0, at_least=0.0)
    """Resistance of what senses an output in Ω."""
    g_unit: float = field(5.0, above=0.0)
    """Conductance of a weight of 1 in µS."""


@dataclass(frozen=True, slots=True)
class Network:
    """Resistors between numbered nodes.

    Nodes 0 ... ``free`` - 1 are unknown, numbered in the order of their elimination; then come the drivers of
    the inputs, then the grounds of the outputs.
    """

    outputs: int
    inputs: int
    free: int
    a: NDArray[np.int64]  # one end of each branch
    b: NDArray[np.int64]  # its other end
    siemens: NDArray[np.float64]

    @property
    def nodes(self) -> int:
        return self.free + self.inputs + self.outputs

    def driver(self, j: int) -> int:
        """The node of input j's driver."""
        return self.free + j

    def ground(self, i: int) -> int:
        """The node of output i's virtual ground."""
        return self.free + self.inputs + i


def tile_networks(w_OI: NDArray[np.float32], circuit: CrossbarCircuit) -> tuple[Network, Network]:
    """The crossbars of a tile's positive and of its negative weights."""
    if w_OI.ndim != 2 or 0 in w_OI.shape:
        raise InputError(f"a tile's weights must have shape [out, in], not {list(w_OI.shape)}")
    if not np.isfinite(w_OI).all():
        raise InputError("the weights of a tile's circuit hold NaN or infinity")
    siemens_OI = w_OI.astype(np.float64) * circuit.g_unit * 1e-6
    positive, negative = np.maximum(siemens_OI, 0.0), np.maximum(-siemens_OI, 0.0)
    return crossbar(positive, circuit), crossbar(negative, circuit)


def crossbar(siemens_OI: NDArray[np.float64], circuit: CrossbarCircuit) -> Network:
    """The network of devices of conductance ``siemens_OI`` [out, in]."""
    outputs, inputs = siemens_OI.shape
    in_OI, in_free = _line_nodes(inputs, outputs, circuit.wire_in, circuit.driver)
    out_OI, out_free = _line_nodes(outputs, inputs, circuit.wire_out, circuit.sense)
    in_OI = in_OI.T
    free = in_free + out_free
    drivers, grounds = free + np.arange(inputs), free + inputs + np.arange(outputs)
    out_OI = np.where(out_OI < 0, out_OI, out_OI + in_free)
    number = np.append(_elimination_numbers(in_OI, out_OI, free), -1)
    in_OI = np.where(in_OI < 0, drivers[None, :], number[in_OI])
    out_OI = np.where(out_OI < 0, grounds[:, None], number[out_OI])
    present = siemens_OI > 0.0
    pieces = [(in_OI[present], out_OI[present], siemens_OI[present])]
    pieces += _line_branches(drivers, in_OI.T, circuit.wire_in, circuit.driver)
    pieces += _line_branches(grounds, out_OI, circuit.wire_out, circuit.sense)
    a, b, siemens = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return Network(outputs, inputs, free, a, b, siemens)


def _line_nodes(lines: int, crossings: int, wire: float, end: float) -> tuple[NDArray[np.int64], int]:
    """Node numbers [lines, crossings] of equal lines, and how many: -1 where a line is its terminal."""
    if wire > 0.0:
        return np.arange(lines * crossings).reshape(lines, crossings), lines * crossings
    if end > 0.0:
        return np.repeat(np.arange(lines)[:, None], crossings, axis=1), lines
    return np.full((lines, crossings), -1), 0


def _line_branches(
    terminals: NDArray[np.int64], nodes: NDArray[np.int64], wire: float, end: float
) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """The wires of lines whose crossings are ``nodes`` [lines, crossings]."""
    branches = []
    if wire + end > 0.0:
        branches.append((terminals, nodes[:, 0], np.full(len(terminals), 1.0 / (wire + end))))
    if wire > 0.0:
        a, b = nodes[:, :-1].ravel(), nodes[:, 1:].ravel()
        branches.append((a, b, np.full(len(a), 1.0 / wire)))
    return branches


def _elimination_numbers(in_OI: NDArray[np.int64], out_OI: NDArray[np.int64], free: int) -> NDArray[np.int64]:
    """New numbers of the free nodes: nested dissection of the grid (George, 1973).

    Both halves of the grid come before the line that separates them, which keeps the factors small:
    a fifth of what minimum degree leaves at 128 x 128.
    """
    rows, columns = in_OI.shape
    order = np.array(_dissected(0, rows, 0, columns))
    nodes = np.stack([in_OI[order[:, 0], order[:, 1]], out_OI[order[:, 0], order[:, 1]]], axis=1).ravel()
    nodes = nodes[nodes >= 0]
    last = np.zeros(free, np.int64)
    last[nodes] = np.arange(len(nodes))  # the last assignment stays: a line that is one node goes last
    numbers = np.empty(free, np.int64)
    numbers[np.argsort(last)] = np.arange(free)
    return numbers


def _dissected(top: int, bottom: int, left: int, right: int) -> list[tuple[int, int]]:
    """The crosspoints of a rectangle in elimination order."""
    if bottom - top <= 2 and right - left <= 2:
        return [(i, j) for i in range(top, bottom) for j in range(left, right)]
    if bottom - top >= right - left:
        middle = (top + bottom) // 2
        halves = _dissected(top, middle, left, right) + _dissected(middle + 1, bottom, left, right)
        return halves + [(middle, j) for j in range(left, right)]
    middle = (left + right) // 2
    halves = _dissected(top, bottom, left, middle) + _dissected(top, bottom, middle + 1, right)
    return halves + [(i, middle) for i in range(top, bottom)]
