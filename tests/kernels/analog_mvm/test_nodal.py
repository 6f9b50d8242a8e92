"""The read through wires: the network's solution between all other stages, solved no more than needed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from test_read import BATCH, BLOCKS_OF_TILES, CONFIGURATIONS, IN, OUT, TILES, bank, vectors

from crossgrid.kernels.analog_mvm import (
    IOParameters,
    Periphery,
    SlicedIOParameters,
    periphery,
    share_networks,
)
from crossgrid.kernels.analog_mvm.parameters import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    WeightNoiseType,
)
from crossgrid.kernels.analog_mvm.reads import nodal
from crossgrid.kernels.backends import CUDA, backend_of
from crossgrid.kernels.circuit import CrossbarCircuit, NodalTile
from crossgrid.kernels.errors import ConfigError, InputError
from crossgrid.kernels.rng import tile_key

#: no converters, no noise, no management: the product itself
BARE: dict[str, Any] = {
    "inp_bound": 0.0, "inp_res": 0.0, "out_bound": 0.0, "out_res": 0.0, "out_noise": 0.0,
    "noise_management": NoiseManagementType.NONE, "bound_management": BoundManagementType.NONE,
}  # fmt: skip
#: thin wires, so that small tiles lose a few per cent
THIN: dict[str, Any] = {"ir_drop": "nodal", "ir_drop_wire_ohm": 20.0, "ir_drop_g_max_microsiemens": 25.0}
THIN_CIRCUIT = CrossbarCircuit(wire_in=20.0, wire_out=20.0, g_unit=25.0)
FIRST = np.zeros(1, int)


def through(io: IOParameters, **fields: Any) -> IOParameters:
    """``io`` with the product through thin wires and what does not go with that turned off."""
    ratio = IOParameters().ir_drop_g_ratio
    return dataclasses.replace(
        io, **{**THIN, "ir_drop_g_ratio": ratio, "w_read_asymmetry_dtod": 0.0, **fields}
    )


def read(io: Any, w: Any, x: Any, keys: Any, direction: Any = "forward", backend: str = "cpu") -> Any:
    reader = periphery(io, keys, *w.shape[1:], direction, backend_of(backend))
    return reader.read(w, x, BLOCKS_OF_TILES[: len(w)], 9)


def rounding(w: np.ndarray, x: np.ndarray) -> float:
    """Two sums of n products in float32 differ by less: each rounds its matrix, products and sums."""
    n = x.shape[-1]
    return 2.0 * (n + 1) * 2.0**-24 * float(np.abs(w).max() * np.abs(x).sum(axis=-1).max())


@pytest.mark.parametrize("backend", ["naive", "cpu"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_bare_read_is_the_solution_of_the_network(backend: str, direction: str) -> None:
    keys, w = bank()
    x = vectors(IN if direction == "forward" else OUT)
    y, _ = read(IOParameters(**BARE, **THIN), w, x, keys, direction, backend)
    for t in range(TILES):
        tile, x_BI = NodalTile(w[t], THIN_CIRCUIT), x[BLOCKS_OF_TILES[t]]
        expected = tile.read(x_BI) if direction == "forward" else tile.read_transposed(x_BI)
        np.testing.assert_allclose(y[t], expected, rtol=0, atol=rounding(w, x))
        ideal = x_BI @ (w[t].T if direction == "forward" else w[t])
        assert np.abs(expected - ideal).max() > 0.01 * np.abs(ideal).max()  # the wires do something


@pytest.mark.parametrize("backend", ["naive", "cpu"])
@pytest.mark.parametrize("io", CONFIGURATIONS)
def test_all_other_stages_stay_around_it(backend: str, io: IOParameters) -> None:
    """The bits are those of a plain read of the matrix that the wires leave; without resistance, of W."""
    keys, w = bank()
    x = vectors(IN)
    seen = np.stack([NodalTile(w_OI, THIN_CIRCUIT).effective_weights() for w_OI in w])
    plain = dataclasses.replace(through(io), ir_drop=0.0)
    for io_nodal, weights in ((through(io), seen), (through(io, ir_drop_wire_ohm=0.0), w)):
        expected, counts = read(plain, weights, x, keys, backend=backend)
        actual, counts_nodal = read(io_nodal, w, x, keys, backend=backend)
        np.testing.assert_array_equal(actual, expected)
        np.testing.assert_array_equal(counts_nodal[:4], counts[:4])


@pytest.mark.parametrize("io", CONFIGURATIONS)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_cpu_agrees_with_the_reference(io: IOParameters, direction: str) -> None:
    """As without wires: float32's rounding may tip a converter by one step of one read's scale."""
    keys, w = bank()
    x = vectors(IN if direction == "forward" else OUT)
    expected, expected_counts = read(through(io), w, x, keys, direction, "naive")
    actual, counts = read(through(io), w, x, keys, direction, "cpu")
    step = io.out_res * 2 * io.out_bound * np.abs(x).max() * 16
    assert np.mean(np.abs(actual - expected) > 1e-4) < 0.02
    assert np.abs(actual - expected).max() <= step + 1e-4
    np.testing.assert_array_equal(counts.retries, expected_counts.retries)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_bits_do_not_depend_on_batch_or_stack(direction: Any) -> None:
    keys, w = bank()
    io = through(IOParameters(out_bound=2.0, w_noise=0.1, w_noise_type=WeightNoiseType.PCM_READ))
    x = vectors(IN if direction == "forward" else OUT)
    whole, _ = read(io, w, x, keys, direction)
    for t in range(TILES):
        alone = periphery(io, keys[t : t + 1], OUT, IN, direction)
        for b in range(BATCH):
            one, _ = alone.read(w[t : t + 1], x[BLOCKS_OF_TILES[t], b][None, None], FIRST, 9 + b)
            np.testing.assert_array_equal(one[0, 0], whole[t, b])


def test_the_transposed_read_has_the_transposed_matrix() -> None:
    """d (W x) = (W^T d) x for the matrix that the wires leave, up to rounding."""
    keys, w = bank()
    x, d, io = vectors(IN), vectors(OUT), IOParameters(**BARE, **THIN)
    y, _ = read(io, w, x, keys)
    z, _ = read(io, w, d, keys, "backward")
    for t in range(TILES):
        b = BLOCKS_OF_TILES[t]
        there, back = (y[t] * d[b]).sum(axis=1), (z[t] * x[b]).sum(axis=1)
        bound = rounding(w, x) * np.abs(d[b]).sum(axis=1) + rounding(w, d) * np.abs(x[b]).sum(axis=1)
        assert (np.abs(there - back) <= bound).all()


def test_the_loss_vanishes_with_the_wires_resistance() -> None:
    """To first order it is proportional: a tenth of the resistance, a tenth of the loss within 10 %."""
    keys, w = bank()
    x = vectors(IN)
    ideal, _ = read(IOParameters(**BARE), w, x, keys)
    losses = [
        np.abs(read(IOParameters(**{**BARE, **THIN, "ir_drop_wire_ohm": ohm}), w, x, keys)[0] - ideal).max()
        for ohm in (10.0, 1.0, 0.1, 0.0)
    ]
    assert losses[1] / losses[0] == pytest.approx(0.1, rel=0.1)
    assert losses[2] / losses[1] == pytest.approx(0.1, rel=0.1)
    assert losses[3] == 0.0


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The weights of every tile that was factorised, in order."""
    weights: list[np.ndarray] = []

    class Counted(NodalTile):
        def __init__(self, w_OI: Any, circuit: CrossbarCircuit) -> None:
            weights.append(w_OI.copy())
            super().__init__(w_OI, circuit)

    monkeypatch.setattr(nodal, "NodalTile", Counted)
    return weights


def test_a_network_is_factorised_when_its_weights_change(solved: list[np.ndarray]) -> None:
    keys, w = bank()
    io = through(IOParameters(out_bound=0.5))  # bound management reads again
    forward, backward = (periphery(io, keys, OUT, IN, direction) for direction in ("forward", "backward"))
    share_networks(forward, backward)
    for tick in range(3):
        _, counts = forward.read(w.copy(), vectors(IN), BLOCKS_OF_TILES, tick)
        backward.read(w, vectors(OUT), BLOCKS_OF_TILES, tick)
    assert counts.retries.sum() > 0
    assert len(solved) == TILES
    w[1, 2, 3] += 1 / 64  # in place, as devices are pulsed
    changed, _ = forward.read(w, vectors(IN), BLOCKS_OF_TILES, 0)
    backward.read(w, vectors(OUT), BLOCKS_OF_TILES, 0)
    assert len(solved) == TILES + 1
    np.testing.assert_array_equal(solved[-1], w[1])
    afresh, _ = periphery(io, keys, OUT, IN).read(w, vectors(IN), BLOCKS_OF_TILES, 0)
    np.testing.assert_array_equal(changed, afresh)


def test_directions_with_other_wires_share_nothing() -> None:
    keys, w = bank()
    d = vectors(OUT)
    expected, _ = read(through(IOParameters(), ir_drop_wire_ohm=1.0), w, d, keys, "backward")
    forward = periphery(through(IOParameters()), keys, OUT, IN)
    for other in (forward, periphery(IOParameters(), keys, OUT, IN)):
        backward = periphery(through(IOParameters(), ir_drop_wire_ohm=1.0), keys, OUT, IN, "backward")
        share_networks(other, backward)
        other.read(w, vectors(IN), BLOCKS_OF_TILES, 0)
        np.testing.assert_array_equal(backward.read(w, d, BLOCKS_OF_TILES, 9)[0], expected)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ir_drop": "nodl"}, r"IOParameters.ir_drop = 'nodl' is neither a number .* did you mean 'nodal'\?"),
        ({"ir_drop": "Nodal"}, r"did you mean 'nodal'\?"),
        ({"ir_drop": "spice"}, "known are: nodal"),
        ({"ir_drop": None}, "must be of type float"),
        ({"ir_drop": float("nan")}, "finite"),
        ({"ir_drop": -1.0}, "ir_drop = -1 must be at least 0"),
        ({"ir_drop": "nodal", "ir_drop_wire_ohm": -1.0}, "ir_drop_wire_ohm = -1 must be at least 0"),
        ({"ir_drop": "nodal", "ir_drop_g_max_microsiemens": 0.0}, "must be above 0"),
        ({"ir_drop": "nodal", "ir_drop_g_ratio": 500.0}, "ir_drop_g_ratio = 500 .* set ir_drop_wire_ohm"),
        (
            {"ir_drop": "nodal", "mv_type": AnalogMVType.POS_NEG_SEPARATE, "w_read_asymmetry_dtod": 0.1},
            "w_read_asymmetry_dtod = 0.1 .* set it to 0",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        IOParameters(**fields)


def test_a_refused_value_leaves_the_old_one() -> None:
    io = IOParameters(ir_drop="nodal")
    with pytest.raises(ConfigError, match="did you mean 'nodal'"):
        io.ir_drop = "nodall"
    assert io.ir_drop == "nodal"
    io.ir_drop = 1
    assert io.ir_drop == 1.0
    assert not io.nodal


def test_who_cannot_solve_says_so() -> None:
    io, keys = IOParameters(ir_drop="nodal"), tile_key(1, 0)[None]
    with pytest.raises(ConfigError, match=r"ir_drop = 'nodal' .* not on a card: use device='cpu'"):
        periphery(io, keys, 2, 2, backend=CUDA)
    with pytest.raises(ConfigError, match=r"'nodal' .* not slices"):
        SlicedIOParameters(ir_drop="nodal")
    with pytest.raises(ConfigError, match=r"make it with kernels.analog_mvm.periphery"):
        Periphery(io, keys, 2, 2)


def test_a_perfect_read_has_no_wires() -> None:
    keys, w = bank()
    x = np.rint(8 * vectors(IN)) / 8
    y, _ = read(IOParameters(is_perfect=True, **THIN), w, x, keys)
    np.testing.assert_array_equal(y, np.einsum("toi,tbi->tbo", w, x[BLOCKS_OF_TILES]))


def test_weights_and_inputs_must_be_finite() -> None:
    keys, w = bank()
    x = vectors(IN)
    x[0, 1, 2] = np.nan
    with pytest.raises(InputError, match="input 2 of vector 1 is nan"):
        read(through(IOParameters()), w, x, keys)
    w[0, 1, 2] = np.inf
    with pytest.raises(InputError, match="weights of a tile's circuit hold NaN or infinity"):
        read(through(IOParameters()), w, vectors(IN), keys)
