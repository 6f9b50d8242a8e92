"""A tile's circuit against hand calculation, the ideal product, reciprocity and SPICE."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from crossgrid.kernels.circuit import CrossbarCircuit, NetlistExporter, NodalTile, tile_networks
from crossgrid.kernels.errors import ConfigError, InputError


def random_tile(outputs: int, inputs: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    w_OI = rng.uniform(-1, 1, (outputs, inputs)).astype(np.float32)
    return w_OI, rng.uniform(-1, 1, (5, inputs)).astype(np.float32)


def test_one_device_is_a_series_circuit() -> None:
    # current = u / (driver + wire + 1/g + wire + sense), in units of g_unit
    circuit = CrossbarCircuit(wire_in=1e3, wire_out=2e3, driver=3e3, sense=4e3, g_unit=10.0)
    w = np.array([[0.5]], np.float32)
    ohm = 3e3 + 1e3 + 1 / (0.5 * 10e-6) + 2e3 + 4e3
    y = NodalTile(w, circuit).read(np.array([[2.0], [-1.0]], np.float32))
    np.testing.assert_allclose(y[:, 0], np.array([2.0, -1.0]) / ohm / 10e-6, rtol=1e-6)


def test_two_devices_of_one_output_share_its_wire() -> None:
    # all four resistances are 1 kΩ, the input lines ideal at 1 V: Kirchhoff's law at the two crossings is
    # v0 + (v0 - 1) + (v0 - v1) = 0 and (v1 - 1) + (v1 - v0) = 0
    circuit = CrossbarCircuit(wire_in=0.0, wire_out=1e3, g_unit=1000.0)
    v0 = 3 / 5
    y = NodalTile(np.ones((1, 2), np.float32), circuit).read(np.ones((1, 2), np.float32))
    np.testing.assert_allclose(y, [[v0]], rtol=1e-6)


@pytest.mark.parametrize(
    "circuit",
    [
        CrossbarCircuit(wire_in=0.0, wire_out=0.0),
        CrossbarCircuit(wire_in=1e-6, wire_out=1e-6),
        CrossbarCircuit(wire_in=0.0, wire_out=0.0, driver=1e-6, sense=1e-6),
    ],
    ids=["no-wires", "tiny-wires", "tiny-ends"],
)
def test_without_wire_resistance_the_tile_is_the_matrix(circuit: CrossbarCircuit) -> None:
    w_OI, u_BI = random_tile(7, 12)
    y_BO = NodalTile(w_OI, circuit).read(u_BI)
    np.testing.assert_allclose(y_BO, u_BI @ w_OI.T, atol=3e-6)


@pytest.mark.parametrize("shape", [(9, 20), (20, 9), (1, 16), (16, 1)], ids=str)
def test_a_batch_its_vectors_and_the_effective_matrix_agree(shape: tuple[int, int]) -> None:
    w_OI, u_BI = random_tile(*shape)
    tile = NodalTile(w_OI, CrossbarCircuit(wire_in=50.0, wire_out=20.0, driver=100.0, g_unit=25.0))
    y_BO = tile.read(u_BI)
    alone = np.concatenate([tile.read(u_I[None]) for u_I in u_BI])
    np.testing.assert_array_equal(y_BO, alone)
    effective_OI = tile.effective_weights()
    np.testing.assert_allclose(y_BO, u_BI @ effective_OI.T, atol=1e-5)
    assert np.abs(effective_OI - w_OI).max() > 1e-3  # the wires do something
    z_BI = tile.read_transposed(y_BO)
    np.testing.assert_allclose(z_BI, y_BO @ effective_OI, atol=1e-4)  # reciprocity


def test_loss_grows_with_distance_and_load() -> None:
    # all devices alike, all inputs on: the far device contributes least, and twice the wire loses
    # about twice as much while the loss is small
    w_OI, ones = np.ones((32, 32), np.float32), np.ones((1, 32), np.float32)
    loss = []
    for wire in (0.35, 0.7):
        tile = NodalTile(w_OI, CrossbarCircuit(wire_in=wire, wire_out=wire))
        effective_OI = tile.effective_weights()
        assert effective_OI[0, 0] > effective_OI[0, -1]
        assert effective_OI[0, -1] > effective_OI[-1, -1]
        loss.append(32.0 - float(tile.read(ones)[0, 0]))
    assert loss[1] / loss[0] == pytest.approx(2.0, rel=0.02)


def test_two_solutions_are_the_same_bits() -> None:
    w_OI, u_BI = random_tile(24, 24)
    first, second = (NodalTile(w_OI, CrossbarCircuit()).read(u_BI) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_bits_do_not_depend_on_threads() -> None:
    """The solver's dense blocks go through BLAS, which gets as many threads as a process is given."""
    code = (
        "import numpy as np; from crossgrid.kernels.circuit import CrossbarCircuit, NodalTile;"
        "w = np.random.default_rng(0).uniform(-1, 1, (72, 100)).astype(np.float32);"
        "print(NodalTile(w, CrossbarCircuit()).effective_weights().tobytes().hex())"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
        ).stdout
        for threads in ("1", "4")
    ]  # fmt: skip
    assert len(printed[0]) > 72 * 100 * 8
    assert printed[0] == printed[1]


@pytest.mark.parametrize(
    ("size", "circuit"),
    [
        pytest.param(12, CrossbarCircuit(), id="12x12"),
        pytest.param(12, CrossbarCircuit(wire_in=0.0, wire_out=30.0, sense=200.0), id="12x12-ideal-inputs"),
        pytest.param(64, CrossbarCircuit(), id="64x64", marks=pytest.mark.slow),
        pytest.param(
            64,
            CrossbarCircuit(wire_in=5.0, wire_out=5.0, g_unit=25.0),
            id="64x64-thin",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_ngspice_finds_the_same_outputs(tmp_path, size: int, circuit: CrossbarCircuit) -> None:
    ngspice = shutil.which("ngspice")
    if ngspice is None:
        pytest.skip("ngspice is not installed (Debian: apt-get install ngspice)")
    w_OI, u_BI = random_tile(size, size)
    exporter = NetlistExporter(circuit)
    netlist = exporter.write(tmp_path / "tile.cir", w_OI, u_BI[0])
    run = subprocess.run(
        [ngspice, "-b", str(netlist)], capture_output=True, text=True, timeout=250, check=False
    )
    spice_O = exporter.outputs(run.stdout, size)
    nodal_O = NodalTile(w_OI, circuit).read(u_BI[:1])[0]
    full_scale = np.abs(w_OI).sum(axis=1).max()  # the largest output of inputs within ±1
    assert np.abs(nodal_O - spice_O).max() <= 1e-3 * full_scale  # what is asked
    np.testing.assert_allclose(nodal_O, spice_O, atol=1e-5 * full_scale)  # what both can do
    assert np.abs(spice_O - w_OI @ u_BI[0]).max() > 1e-5 * full_scale  # and the wires matter


def test_a_netlist_has_every_device_and_wire() -> None:
    w_OI, u_BI = random_tile(3, 4)
    lines = list(NetlistExporter(CrossbarCircuit()).lines(w_OI, u_BI[0]))
    resistors = [line for line in lines if line.startswith("R")]
    assert len(resistors) == 3 * 4 + 2 * 2 * 3 * 4  # a device a crosspoint; two arrays of two wires each
    assert len([line for line in lines if line.startswith("V")]) == 2 * (3 + 4)
    assert lines[-1] == ".end"


def test_bad_input_is_refused() -> None:
    w_OI, u_BI = random_tile(3, 4)
    with pytest.raises(ConfigError, match="wire_in = -1 must be at least 0"):
        CrossbarCircuit(wire_in=-1.0)
    with pytest.raises(InputError, match=r"must have shape \[B, 4\], not \[5, 3\]"):
        NodalTile(w_OI, CrossbarCircuit()).read(u_BI[:, :3])
    w_OI[1, 1] = np.nan
    with pytest.raises(InputError, match="NaN"):
        tile_networks(w_OI, CrossbarCircuit())
