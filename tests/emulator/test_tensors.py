"""Arrays and tensors on their way from torch to kernels and back: the same bits, no copy in one process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import crossgrid as cg
from crossgrid.emulator.analog_matrix.conversions import long_rows
from crossgrid.emulator.hosts.grid import TileGrid
from crossgrid.kernels.analog_mvm.reads.periphery import Periphery


def seen_by_reads(work: Callable[[], Any]) -> list[tuple[int, int]]:
    """Addresses of the input that each read of tiles gets, and of the result that it returns."""
    addresses = []

    def look(frame: Any, event: str, returned: Any) -> None:
        if event == "return" and frame.f_code is Periphery.read.__code__:
            x = frame.f_locals["x_XBI"]
            addresses.append((x.ctypes.data, returned[0].ctypes.data))

    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(None)
    return addresses


@pytest.mark.parametrize("bias", [True, False])
def test_in_one_process_tiles_read_torchs_memory_and_torch_gets_theirs(bias: bool) -> None:
    layer = cg.AnalogLinear(6, 4, bias=bias, seed=1)
    x, outputs = torch.rand(3, 6), []
    with torch.no_grad():
        ((of_input, of_result),) = seen_by_reads(lambda: outputs.append(layer(x)))
    assert of_input == x.data_ptr()
    assert of_result == outputs[0].data_ptr()


def test_what_tiles_learn_from_is_theirs() -> None:
    """Of a pass that is trained on they keep a copy: x may be written to before the update."""
    changed, unchanged = (cg.AnalogLinear(6, 4, seed=1) for _ in range(2))
    unchanged.set_weights(*changed.get_weights())
    for layer in (changed, unchanged):
        optimizer = cg.AnalogSGD(layer.parameters(), lr=0.1)
        x = torch.linspace(-1, 1, 12).reshape(2, 6)
        layer(x).sum().backward()
        if layer is changed:
            x.fill_(7.0)
        optimizer.step()
    assert torch.equal(changed.get_weights()[0], unchanged.get_weights()[0])


START = np.full((7, 6), 0.1, np.float32)


def step(grid: TileGrid, x: Any, d: Any, a: Any) -> list[np.ndarray]:
    """What a grid reads forward and backward, and its weights after an update from ``START``."""
    grid.set_weights(START)
    y, record = grid.forward(x, True, learn=True)
    z, gradients = grid.backward(record, d, tuple(x.shape), a, keep=True)
    grid.update(0.1, [gradients])
    weights = grid.weights()
    assert not np.array_equal(weights, START)
    return [np.asarray(y), np.asarray(z), weights]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("cut", [0, 4])
def test_a_grid_takes_tensors_as_it_takes_arrays(cut: int) -> None:
    """With the same bits, on one tile and on several, factors of outputs and strides included."""
    config = cg.SingleRPUConfig(mapping=cg.MappingParameter(max_input_size=cut, max_output_size=cut))
    generator = np.random.default_rng(2)
    x = generator.standard_normal((6, 5), np.float32).T  # no contiguous one
    d, a = generator.standard_normal((5, 7), np.float32), np.linspace(0.5, 2, 7, dtype=np.float32)
    arrays, tensors = (
        step(cg.AnalogLinear(6, 7, rpu_config=config, seed=1).grid, convert(x), convert(d), convert(a))
        for convert in (np.asarray, torch.from_numpy)
    )
    assert same(arrays, tensors)


@pytest.mark.usefixtures("ray_session")
def test_actors_are_sent_tensors_as_they_are_sent_arrays() -> None:
    layer, x, d = cg.AnalogLinear(6, 7, seed=1), torch.rand(5, 6), torch.rand(5, 7)
    with cg.emulate(layer, backend="ray"):
        sent = step(layer.grid, x, d, None)
    assert same(sent, step(cg.AnalogLinear(6, 7, seed=1).grid, x.numpy(), d.numpy(), None))


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
def test_numbers_that_are_not_finite_stop_at_the_door(convert: Callable[[np.ndarray], Any]) -> None:
    """One check, one wording, whatever the values are and wherever they were to go."""
    grid = cg.AnalogLinear(6, 4, seed=1).grid
    x, d, w = (np.ones(shape, np.float32) for shape in ((2, 6), (2, 4), (4, 6)))
    _, record = grid.forward(convert(x), True)
    assert record is not None
    for values in (x, d, w):
        values[1, 2], values[0, 3] = np.nan, np.inf
    calls: dict[str, Callable[[], Any]] = {
        "12 entries of the input": lambda: grid.forward(convert(x), False),
        "8 entries of the gradient": lambda: grid.backward(record, convert(d), (2, 6)),
        "24 entries of the weight": lambda: grid.set_weights(convert(w)),
    }
    for words, call in calls.items():
        with pytest.raises(cg.InputError, match=f"2 of {words} are NaN or infinite"):
            call()
    assert grid.ticks.forward == 2


@pytest.mark.parametrize("batch", [0, 1, 2, 7, 8, 63, 4608])
@pytest.mark.parametrize("size", [1, 3, 16, 4096, 5000])
@pytest.mark.parametrize("whole", [True, False])
def test_long_rows_take_each_outputs_number(batch: int, size: int, whole: bool) -> None:
    """y + b, whatever the number of rows that are one, and where rows do not follow one another."""
    rng = np.random.default_rng(size)
    y = rng.standard_normal((batch, size + 2)).astype(np.float32)
    y_BO = np.ascontiguousarray(y[:, :size]) if whole else y[:, :size]
    b_O = rng.standard_normal(size).astype(np.float32)
    wanted = torch.from_numpy(y_BO) + torch.from_numpy(b_O)
    rows, b = long_rows(y_BO, b_O)
    rows += b
    np.testing.assert_array_equal(y_BO, wanted.numpy())
