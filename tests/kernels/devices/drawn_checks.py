"""Populations that a card draws anew against those that numpy draws. Run as a script for the interpreter:

TRITON_INTERPRET=1 python drawn_checks.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crossgrid.emulator.config.rpu import SingleRPUConfig
from crossgrid.emulator.tiles.bank import TileBank
from crossgrid.kernels import devices
from crossgrid.kernels.arrays.array import DeviceArray
from crossgrid.kernels.arrays.build import build_cell
from crossgrid.kernels.arrays.cell import give_hidden
from crossgrid.kernels.backends import CPU, CUDA
from crossgrid.kernels.cells.vector_cell import VectorUnitCell
from crossgrid.kernels.pulsed_update.parameters import UpdateParameters

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "golden"), str(ROOT / "kernels" / "pulsed_update")]

from update_cases import DEVICES, keys, trained  # noqa: E402

#: every branch of the formulas that the shared cases leave out
OTHERS: dict[str, Any] = {
    "perfect_bias": devices.ConstantStepDevice(perfect_bias=True, construction_seed=3),
    "inconsistent": devices.SoftBoundsReferenceDevice(
        enforce_consistency=False, reference_std=0.1, reset_dtod=0.1, lifetime=10.0, w_max_dtod=2.0
    ),
    "stuck": devices.ExpStepDevice(corrupt_devices_prob=0.5, up_down=-0.3),
    "reversed": devices.LinearStepDevice(reverse_up=True, reverse_down=True, mean_bound_reference=False),
    "pow_reference": devices.PowStepReferenceDevice(reference_std=0.1, diffusion=0.01, pow_up_down=0.2),
    "log_normal": devices.ConstantStepDevice(dw_min_dtod_log_normal=True),
    "symmetry_points_far_out": devices.PowStepReferenceDevice(
        subtract_symmetry_point=True, enforce_consistency=False, dw_min_dtod=2.0, pow_gamma_dtod=1.0
    ),
    "all_that_changes": devices.SoftBoundsReferenceDevice(
        write_noise_std=0.1,
        reset=0.1,
        reset_dtod=0.05,
        lifetime=50.0,
        lifetime_dtod=0.3,
        diffusion=0.01,
        diffusion_dtod=0.2,
        subtract_symmetry_point=True,
    ),
    "labels_of_both_signs": devices.NeuroSimDevice(d2d_vari=5.0, nonlinearity_ltp=-4.0),
    "long": devices.PowStepReferenceDevice(subtract_symmetry_point=True, n_estimation_steps=100),
}
KEPT = {"long"}  # cases whose draw takes too long for a card to repeat it


def check_population(name: str, device: Any, anew: bool, columns: int = 20) -> None:
    """The same bits of every parameter and weight."""
    here, there = (DeviceArray(device, keys(2), 2, columns, backend) for backend in (CPU, CUDA))
    assert there.drawn_anew == anew, name
    assert not here.drawn_anew
    assert np.array_equal(here.p_TOIP, there.p_TOIP), name
    assert np.array_equal(here.kept_TOI, there.kept_TOI), name
    assert here.dynamics.keys() == there.dynamics.keys()
    for key, values in here.dynamics.items():
        assert np.array_equal(values, there.dynamics[key]), (name, key)


def check_given() -> None:
    """Parameters that somebody gave stay; who takes over a state without them draws again."""
    device = devices.SoftBoundsDevice()
    here, there = (DeviceArray(device, keys(2), 3, 5, backend) for backend in (CPU, CUDA))
    drawn = there.state()
    for array in (here, there):
        array.give({"dwmin_up": np.full((2, 3, 5), 0.25, np.float32)})
    assert not there.drawn_anew
    assert np.array_equal(here.p_TOIP, there.p_TOIP)
    other = DeviceArray(device, keys(2), 3, 5, CUDA)
    other.load_state(there.state())
    assert np.array_equal(other.p_TOIP, there.p_TOIP)
    other.load_state(drawn)
    assert other.drawn_anew
    assert not np.array_equal(other.p_TOIP, there.p_TOIP)
    assert np.array_equal(other.p_TOIP, DeviceArray(device, keys(2), 3, 5, CPU).p_TOIP)


def check_given_step() -> None:
    """A step of given devices has the processors' bits, too."""
    device, found = DEVICES["soft_bounds"], []
    for backend in ("cpu", "cuda"):
        size = {"out_size": 2, "in_size": 5, "tiles": 1, "batches": 1, "batch": 2}
        _, _, cell = trained(device, backend, UpdateParameters(), **size)
        cell.array.give({"slope_up": np.full((1, 2, 5), -0.5, np.float32)})
        x, d = np.ones((1, 2, 5), np.float32), np.full((1, 2, 2), -0.1, np.float32)
        counts = cell.update(x, np.arange(1), d, np.arange(1), 0.1, 99)
        assert counts.pulses.sum() > 0
        found.append(cell.array.kept_TOI)
    assert np.array_equal(*found)


def check_given_members() -> None:
    """Weights that somebody gives a compound's members are on the card afterwards."""
    device = VectorUnitCell(unit_cell_devices=[devices.ConstantStepDevice(), devices.ConstantStepDevice()])
    given = {"hidden_weights_1": np.full((2, 3, 5), 0.0625, np.float32)}
    seen = []
    for backend in (CPU, CUDA):
        cell = build_cell(device, UpdateParameters(), keys(2), 3, 5, backend)
        give_hidden(cell, given)
        assert np.array_equal(cell.hidden_parameters()["hidden_weights_1"], given["hidden_weights_1"])
        seen.append(np.array(cell.weights))
    assert np.array_equal(*seen)
    assert seen[0].any()


def held_bytes(held: Any) -> tuple[int, int]:
    """Bytes of all tensors, and of all arrays, that hang on an object of this project."""
    tensors: dict[int, int] = {}
    arrays: dict[int, int] = {}
    seen, left = set(), [held]
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, torch.Tensor):
            storage = each.untyped_storage()
            tensors[storage.data_ptr()] = storage.nbytes()
        elif isinstance(each, np.ndarray):
            arrays[id(each)] = each.nbytes
        elif isinstance(each, (list, tuple)):
            left += each
        elif isinstance(each, dict):
            left += each.values()
        elif type(each).__module__.startswith("crossgrid") and hasattr(each, "__dict__"):
            left += vars(each).values()
    return sum(tensors.values()), sum(arrays.values())


def check_bytes() -> None:
    """A device takes 4 bytes of a card, 8 with write noise; the host keeps what is one a tile or kind.

    A tile takes its key and its pulses, and a number of saturated devices for each row; a bank the time.
    """
    rows, columns = 2, 16
    for name, device in {
        **DEVICES,
        **{name: OTHERS[name] for name in ("log_normal", "all_that_changes", *KEPT)},
    }.items():
        bank = TileBank(1, [0, 1], rows, columns, SingleRPUConfig(device=device), "cuda")
        bank.set_weights([np.zeros((rows, columns), np.float32)] * 2)
        bank.look()
        card, host = held_bytes(bank.cell)
        a_device = 4 if device.write_noise == 0 else 8
        if name in KEPT:
            a_device += 4 * (len(device.parameters) + len(bank.cell.array.dynamics))
        assert a_device <= 8 or name in KEPT, name
        a_tile, a_bank, a_kind = 16 + 4 * rows, 16, 4 * len(device.constants())
        assert card == 2 * (rows * columns * a_device + a_tile) + a_bank, (name, card)
        assert host <= 2 * 8 + a_kind, (name, host)


def main() -> None:
    """All of it."""
    for name, device in DEVICES.items():
        check_population(name, device, True)
    for name, device in OTHERS.items():
        check_population(name, device, name not in KEPT)
    check_population("wide", devices.ConstantStepDevice(), True, columns=300)  # more than a block
    check_given()
    check_given_step()
    check_given_members()
    check_bytes()
    print("agrees")


if __name__ == "__main__":
    main()
