"""Any tile as a SPICE netlist, for simulators that know more of circuits than this project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .network import CrossbarCircuit, Network, tile_networks


class NetlistExporter:
    """Writes the circuit of a tile, driven by one input vector, as a netlist for ngspice and relatives.

    The operating point gives the current of every voltage source ``Vp<i>`` and ``Vn<i>``: what output i
    senses of the positive and of the negative array, in amperes for inputs in volts. Output i of the
    tile is their difference divided by the conductance of a weight of 1.
    """

    def __init__(self, circuit: CrossbarCircuit) -> None:
        self.circuit = circuit

    def write(self, path: str | Path, w_OI: NDArray[np.float32], u_I: NDArray[np.float32]) -> Path:
        """Write the netlist of tile ``w_OI`` with inputs ``u_I`` to ``path``."""
        path = Path(path)
        with path.open("w", encoding="ascii") as file:
            file.writelines(line + "\n" for line in self.lines(w_OI, u_I))
        return path

    def lines(self, w_OI: NDArray[np.float32], u_I: NDArray[np.float32]) -> Iterator[str]:
        """The lines of the netlist."""
        outputs, inputs = w_OI.shape
        if u_I.shape != (inputs,):
            raise InputError(f"the tile has {inputs} inputs; u_I has shape {list(u_I.shape)}")
        yield f"* crossgrid tile, {outputs} outputs, {inputs} inputs"
        yield f"* output i is (i(Vp<i>) - i(Vn<i>)) / {self.circuit.g_unit!r}e-6"
        for array, network in zip("pn", tile_networks(w_OI, self.circuit), strict=True):
            yield from _array_lines(array, network, u_I)
        yield ".control"
        yield "set noprintheader"
        yield "set numdgt=9"
        yield "op"
        for array in "pn":
            yield from (f"print i(V{array}{i})" for i in range(outputs))
        yield ".endc"
        yield ".end"

    def outputs(self, listing: str, count: int) -> NDArray[np.float64]:
        """The tile's outputs [out] from the text that ``ngspice -b`` printed for such a netlist."""
        amperes = {"p": np.full(count, np.nan), "n": np.full(count, np.nan)}
        for line in listing.splitlines():
            name, equals, value = line.partition(" = ")
            if equals and name.startswith(("i(vp", "i(vn")):
                amperes[name[3]][int(name[4:-1])] = float(value)
        y = (amperes["p"] - amperes["n"]) / (self.circuit.g_unit * 1e-6)
        if np.isnan(y).any():
            raise InputError(f"the listing lacks the current of output {int(np.argmax(np.isnan(y)))}")
        return y


def _array_lines(array: str, network: Network, u_I: NDArray[np.float32]) -> Iterator[str]:
    names = [f"{array}{k}" for k in range(network.free)]
    names += [f"{array}u{j}" for j in range(network.inputs)]
    names += [f"{array}y{i}" for i in range(network.outputs)]
    yield f"* array {array}: nodes {array}u<input> are driven, {array}y<output> are virtual grounds"
    for j in range(network.inputs):
        yield f"VD{array}{j} {names[network.driver(j)]} 0 {float(u_I[j])!r}"
    for i in range(network.outputs):
        yield f"V{array}{i} {names[network.ground(i)]} 0 0"
    branches = zip(network.a.tolist(), network.b.tolist(), network.siemens.tolist(), strict=True)
    for k, (a, b, siemens) in enumerate(branches):
        yield f"R{array}{k} {names[a]} {names[b]} {1.0 / siemens!r}"
