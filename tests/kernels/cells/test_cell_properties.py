"""Properties of every cell over random configurations, updates and banks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cell_helpers import keys
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrid.kernels.analog_mvm.parameters import (
    BoundManagementType,
    IOParameters,
    NoiseManagementType,
)
from crossgrid.kernels.arrays.build import build_cell
from crossgrid.kernels.backends import backend_of
from crossgrid.kernels.cells import (
    BufferedTransferCompound,
    ChoppedTransferCompound,
    DynamicTransferCompound,
    MixedPrecisionCompound,
    OneSidedUnitCell,
    ReferenceUnitCell,
    TransferCompound,
    VectorUnitCell,
    VectorUnitCellUpdatePolicy,
)
from crossgrid.kernels.devices import ConstantStepDevice, SoftBoundsDevice
from crossgrid.kernels.pulsed_update.parameters import PulseType, UpdateParameters

PULSED = [PulseType.STOCHASTIC_COMPRESSED, PulseType.STOCHASTIC, PulseType.MEAN_COUNT]
some = st.floats(0.01, 1.0)
device = st.one_of(
    st.builds(SoftBoundsDevice, dw_min=st.floats(0.005, 0.1), write_noise_std=st.sampled_from([0.0, 2.0])),
    st.builds(
        ConstantStepDevice, dw_min=st.floats(0.005, 0.1), corrupt_devices_prob=st.sampled_from([0.0, 0.2])
    ),
)
one_side = st.builds(
    SoftBoundsDevice, dw_min=st.floats(0.02, 0.1), w_min=st.just(0.0), w_min_dtod=st.just(0.0)
)
several = st.lists(device, min_size=2, max_size=3)
two = st.lists(device, min_size=2, max_size=2)
vector = st.builds(
    VectorUnitCell, unit_cell_devices=several, update_policy=st.sampled_from(VectorUnitCellUpdatePolicy)
)
member = st.one_of(device, vector, st.builds(ReferenceUnitCell, unit_cell_devices=two))
read = st.builds(
    IOParameters, noise_management=st.just(NoiseManagementType.NONE), out_noise=st.sampled_from([0.0, 0.06]),
    bound_management=st.just(BoundManagementType.NONE), out_bound=st.just(2.0),
    inp_noise=st.sampled_from([0.0, 0.1]),
)  # fmt: skip
transfer = {
    "unit_cell_devices": two, "transfer_forward": read, "transfer_columns": st.booleans(), "fast_lr": some,
    "gamma": st.sampled_from([0.0, 0.5]), "transfer_every": st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    "units_in_mbatch": st.booleans(), "scale_fast_lr": st.booleans(),
}  # fmt: skip
chopped = {
    **transfer, "transfer_every": st.sampled_from([0.5, 1.0, 3.0]), "auto_scale": st.booleans(),
    "in_chop_prob": some, "in_chop_random": st.booleans(), "forget_buffer": st.booleans(),
    "auto_granularity": st.sampled_from([0.0, 10.0]), "correct_gradient_magnitudes": st.booleans(),
}  # fmt: skip
CELLS = {
    "vector": vector,
    "reference": st.builds(ReferenceUnitCell, unit_cell_devices=two),
    "one_sided": st.builds(
        OneSidedUnitCell, unit_cell_devices=st.lists(one_side, min_size=1, max_size=1),
        units_in_mbatch=st.booleans(), refresh_every=st.integers(0, 3), refresh_upper_thres=st.just(0.3),
    ),
    "mixed_precision": st.builds(
        MixedPrecisionCompound, device=device, transfer_every=st.integers(0, 2),
        n_x_bins=st.sampled_from([0, 7]),
        n_d_bins=st.sampled_from([0, 4]), n_rows_per_transfer=st.sampled_from([-1, 1, 9]),
        random_row=st.booleans(),
    ),
    "transfer": st.builds(
        TransferCompound,
        **{**transfer, "unit_cell_devices": several, "n_reads_per_transfer": st.integers(1, 9),
           "random_selection": st.booleans()},
    ),
    "buffered": st.builds(BufferedTransferCompound, **transfer, forget_buffer=st.booleans()),
    "transfer of vectors": st.builds(
        TransferCompound,
        **{**transfer, "unit_cell_devices": st.lists(member, min_size=2, max_size=3),
           "with_reset_prob": st.sampled_from([0.0, 0.5]), "transfer_columns": st.just(True)},
    ),
    "vector of vectors": st.builds(
        VectorUnitCell, unit_cell_devices=st.lists(member, min_size=2, max_size=3),
        update_policy=st.sampled_from(VectorUnitCellUpdatePolicy),
    ),
    "chopped": st.builds(ChoppedTransferCompound, **chopped, out_chop_prob=some),
    "dynamic": st.builds(DynamicTransferCompound, **chopped, buffer_cap=st.sampled_from([0.0, 2.0])),
}  # fmt: skip
every_cell = pytest.mark.parametrize("kind", CELLS)


class Run:
    """A cell in a small bank, and mini-batches of random vectors for it."""

    def __init__(self, own: Any, data: Any) -> None:
        self.own = own
        self.tiles, self.out, self.inputs, self.batch = (data.draw(st.integers(1, n)) for n in (2, 6, 5, 4))
        pulse_type = data.draw(st.sampled_from(PULSED))
        self.update = UpdateParameters(pulse_type=pulse_type, update_bl_management=data.draw(st.booleans()))
        self.seed = data.draw(st.integers(0, 1000))

    def cell(self, backend: str = "cpu") -> Any:
        cell = build_cell(self.own, self.update, keys(self.tiles), self.out, self.inputs, backend_of(backend))
        start = np.random.default_rng(self.seed).uniform(-0.5, 0.5, (self.tiles, self.out, self.inputs))
        cell.set_weights(start.astype(np.float32))
        return cell

    def train(self, cell: Any, batches: int = 6, first: int = 0, split: bool = False) -> Any:
        x_of, d_of = np.zeros(self.tiles, np.int64), np.arange(self.tiles)
        for k in range(first, first + batches):
            rng = np.random.default_rng([self.seed, k])
            x = rng.normal(size=(1, self.batch, self.inputs)).astype(np.float32)
            own = [np.random.default_rng([self.seed, k, tile]) for tile in range(self.tiles)]
            d = np.stack([tile.normal(size=(self.batch, self.out)) for tile in own]).astype(np.float32)
            x[rng.random(x.shape) < 0.2] = 0.0
            size = 1 if split else self.batch
            for b in range(0, self.batch, size):
                tick = k * self.batch + b
                cell.update(x[:, b : b + size], x_of, d[:, b : b + size], d_of, 0.1, tick)
        return cell


def arrays(cell: Any) -> Any:
    """The arrays of devices of a cell, and of the cells in it."""
    for member in getattr(cell, "members", None) or [cell.target]:
        yield from [member] if hasattr(member, "min_bound") else arrays(member)


def assert_same_state(first: Any, second: Any) -> None:
    a, b = first.state(), second.state()
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    np.testing.assert_array_equal(first.weights, second.weights)


@every_cell
@settings(max_examples=12, deadline=None, derandomize=True)
@given(data=st.data())
def test_devices_stay_within_bounds_and_the_same_seed_gives_the_same_bits(kind: str, data: Any) -> None:
    run = Run(data.draw(CELLS[kind]), data)
    cell = run.train(run.cell())
    assert np.isfinite(cell.weights).all()
    for array in arrays(cell):
        assert (array.kept_TOI >= array.min_bound).all()
        assert (array.kept_TOI <= array.max_bound).all()
    assert_same_state(cell, run.train(run.cell()))


@every_cell
@settings(max_examples=6, deadline=None, derandomize=True)
@given(data=st.data())
def test_the_backends_agree_to_the_bit(kind: str, data: Any) -> None:
    run = Run(data.draw(CELLS[kind]), data)
    assert_same_state(run.train(run.cell("naive"), 3), run.train(run.cell("cpu"), 3))


@every_cell
@settings(max_examples=8, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_tile_goes_on_in_another_bank_with_the_same_bits(kind: str, data: Any) -> None:
    run = Run(data.draw(CELLS[kind]), data)
    cell = run.train(run.cell(), 3)
    state = {name: np.array(values) for name, values in cell.state().items()}
    assert {len(values) for values in state.values()} == {run.tiles}  # tiles are moved one by one
    moved = run.cell()
    moved.load_state(state)
    np.testing.assert_array_equal(moved.weights, cell.weights)
    assert_same_state(run.train(cell, 2, first=3), run.train(moved, 2, first=3))
    alone = build_cell(run.own, run.update, keys(run.tiles)[:1], run.out, run.inputs)
    alone.load_state({name: values[:1] for name, values in state.items()})
    run.tiles = 1
    run.train(alone, 2, first=3)
    np.testing.assert_array_equal(alone.weights, cell.weights[:1])


@every_cell
@settings(max_examples=8, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_batch_is_as_many_batches_of_one(kind: str, data: Any) -> None:
    """But for what counts mini-batches (transfers, refreshes, the rate of a running average)."""
    own = data.draw(CELLS[kind])
    for name, value in (("units_in_mbatch", False), ("auto_scale", False), ("transfer_every", 1)):
        if hasattr(own, name):
            setattr(own, name, value)
    run = Run(own, data)
    if kind == "mixed_precision":
        run.batch = 1
    assert_same_state(run.train(run.cell()), run.train(run.cell(), split=True))
