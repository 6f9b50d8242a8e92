"""IR drop by nodal analysis as users meet it: one tile, layers, training, inference, other processes."""

from __future__ import annotations

import copy
import pickle
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import batch, small_net, train

import crossgrid as cg
from crossgrid.kernels.circuit import CrossbarCircuit, NetlistExporter

#: no converters, no noise, no management
BARE: dict[str, Any] = {
    "inp_bound": 0.0, "inp_res": 0.0, "out_bound": 0.0, "out_res": 0.0, "out_noise": 0.0,
    "noise_management": cg.NoiseManagementType.NONE, "bound_management": cg.BoundManagementType.NONE,
}  # fmt: skip
THIN: dict[str, Any] = {"ir_drop": "nodal", "ir_drop_wire_ohm": 20.0, "ir_drop_g_max_microsiemens": 25.0}
SMALL = cg.SingleRPUConfig(
    forward=cg.IOParameters(**THIN),
    backward=cg.IOParameters(**THIN),
    mapping=cg.MappingParameter(max_output_size=12, max_input_size=16),
)


def bare_tile(outputs: int, inputs: int, **fields: Any) -> tuple[cg.AnalogTile, torch.Tensor, torch.Tensor]:
    """A tile with nothing but wires, weights that it holds exactly, and some inputs."""
    io = cg.IOParameters(**BARE, **fields)
    config = cg.InferenceRPUConfig(forward=io, backward=io)
    tile, draw = cg.AnalogTile(outputs, inputs, config), torch.Generator().manual_seed(0)
    w, x = (2.0 * torch.rand(shape, generator=draw) - 1.0 for shape in ((outputs, inputs), (3, inputs)))
    tile.set_weights(w)
    assert torch.equal(tile.get_weights(), w)
    return tile, w, x


@pytest.mark.parametrize(
    ("size", "ohm", "microsiemens"),
    [
        pytest.param(12, 5.0, 25.0, id="12x12"),
        pytest.param(64, 0.35, 5.0, id="64x64", marks=pytest.mark.slow),
        pytest.param(64, 5.0, 25.0, id="64x64-thin", marks=pytest.mark.slow),
    ],
)
def test_a_tile_reads_what_ngspice_finds(tmp_path: Path, size: int, ohm: float, microsiemens: float) -> None:
    ngspice = shutil.which("ngspice")
    if ngspice is None:
        pytest.skip("ngspice is not installed (Debian: apt-get install ngspice)")
    wires = {"ir_drop_wire_ohm": ohm, "ir_drop_g_max_microsiemens": microsiemens}
    tile, w, x = bare_tile(size, size, ir_drop="nodal", **wires)
    exporter = NetlistExporter(CrossbarCircuit(wire_in=ohm, wire_out=ohm, g_unit=microsiemens))
    netlist = exporter.write(tmp_path / "tile.cir", w.numpy(), x[0].numpy())
    run = subprocess.run(
        [ngspice, "-b", str(netlist)], capture_output=True, text=True, timeout=250, check=False
    )
    spice_O = exporter.outputs(run.stdout, size)
    full_scale = float(w.abs().sum(dim=1).max())  # the largest output of inputs within ±1
    error_O = np.abs(tile.forward(x[:1])[0].numpy() - spice_O)
    assert error_O.max() <= 1e-3 * full_scale  # what is asked
    assert error_O.max() <= 1e-5 * full_scale  # what both can do
    assert np.abs(spice_O - (w @ x[0]).numpy()).max() > 1e-5 * full_scale  # and the wires matter


def test_a_tile_without_wire_resistance_is_the_product() -> None:
    tile, w, x = bare_tile(5, 9, ir_drop="nodal", ir_drop_wire_ohm=0.0)
    torch.testing.assert_close(tile.forward(x), x @ w.T)
    torch.testing.assert_close(tile.backward(x[:, :5]), x[:, :5] @ w)


def test_networks_are_solved_once_a_change_of_weights() -> None:
    tile = cg.AnalogTile(8, 8, SMALL, seed=2)
    tile.set_weights(torch.full((8, 8), 0.3))
    x = torch.rand(4, 8)
    networks = tile.bank.forward_read.networks
    for _ in range(2):
        tile.forward(x)
        tile.backward(x)
    assert networks.solved_T.tolist() == [1]
    tile.update(x, -x, 0.1)
    tile.forward(x)
    tile.backward(x)
    assert networks.solved_T.tolist() == [2]


def test_the_configuration_travels() -> None:
    there = pickle.loads(pickle.dumps(SMALL))  # as Ray sends it
    assert there == SMALL == copy.deepcopy(SMALL)
    assert there.forward.ir_drop == "nodal"
    with pytest.raises(cg.ConfigError, match="did you mean 'nodal'"):
        there.forward.ir_drop = "nodel"


def trained(steps: range, directory: Path | None = None, **where: Any) -> tuple[str, torch.Tensor]:
    """The hash of the weights after training on tiles with wires, and what the network then answers."""
    model, optimizer = small_net(1, SMALL)
    with cg.emulate(model, **where) as running:
        train(model, optimizer, steps)
        if directory is not None:
            running.save(directory, optimizer)
        return cg.weights_sha256(model), running.infer(batch(9)[0], micro_batch=3)


@pytest.fixture(scope="module")
def local() -> tuple[str, torch.Tensor]:
    return trained(range(3))


def test_wires_change_what_is_learned(local: tuple[str, torch.Tensor]) -> None:
    model, optimizer = small_net(1)
    train(model, optimizer, range(3))
    assert cg.weights_sha256(model) != local[0]


@pytest.mark.usefixtures("ray_session")
def test_actors_give_the_bits_of_local(local: tuple[str, torch.Tensor]) -> None:
    sha256, outputs = trained(range(3), backend="ray", tiles_per_actor=5)
    assert sha256 == local[0]
    assert torch.equal(outputs, local[1])


def test_a_restored_run_goes_on_with_the_same_bits(tmp_path: Path, local: tuple[str, torch.Tensor]) -> None:
    trained(range(2), tmp_path)
    model, optimizer = small_net(6, SMALL)
    with cg.restore(tmp_path, model, optimizer) as running:
        train(model, optimizer, range(2, 3))
        assert cg.weights_sha256(model) == local[0]
        assert torch.equal(running.infer(batch(9)[0], micro_batch=3), local[1])


def test_inference_tiles_are_programmed_and_drift_behind_wires() -> None:
    """With the default periphery; the wires take a few per cent of what is read."""
    torch.manual_seed(0)
    config = cg.InferenceRPUConfig(forward=cg.IOParameters(**THIN), drift_compensation=None)
    model = cg.convert_to_analog(torch.nn.Linear(24, 20), config)
    x = torch.rand(6, 24)
    model(x).sum().backward()  # hardware-aware training passes through
    torch.optim.SGD(model.parameters(), lr=0.01).step()
    model.eval()
    model.program_analog_weights()
    fresh = model(x)
    model.drift_analog_weights(3600.0 * 24)
    assert not torch.equal(model(x), fresh)
    with cg.emulate(model, chip="demo-128") as running:  # a chip's converters leave the wires as they are
        (_, layer), *_ = running.layers
        assert layer.grid.spec.rpu_config.forward.nodal
        assert torch.isfinite(model(x)).all()


def test_cells_that_read_their_arrays_do_so_through_wires() -> None:
    """Tiki-Taka reads columns of its fast array: other wires, other transfers."""

    def learned(**wires: Any) -> torch.Tensor:
        cell = cg.TransferCompound(
            unit_cell_devices=[cg.SoftBoundsDevice(), cg.SoftBoundsDevice()],
            transfer_every=1.0, transfer_forward=cg.IOParameters(**BARE, **wires),
        )  # fmt: skip
        tile = cg.AnalogTile(6, 8, cg.UnitCellRPUConfig(device=cell), seed=3)
        x = torch.linspace(-1, 1, 40).reshape(5, 8)
        for _ in range(10):
            tile.update(x, -x[:, :6], 0.5)
        return tile.get_weights()

    assert torch.equal(learned(), learned(ir_drop="nodal", ir_drop_wire_ohm=0.0))
    assert not torch.equal(learned(), learned(ir_drop="nodal", ir_drop_wire_ohm=1e4))


def test_a_chip_that_slices_weights_is_refused() -> None:
    model = cg.convert_to_analog(torch.nn.Linear(4, 3), SMALL)
    with (
        pytest.raises(cg.ConfigError, match="set ir_drop to a number, or use a chip that does not slice"),
        cg.emulate(model, chip="isaac"),
    ):
        pass
