"""The backend "cuda" against the readable one. Run as a script for Triton's interpreter:

TRITON_INTERPRET=1 python read_checks.py [every]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossgrid.kernels.analog_mvm import IOParameters, Periphery
from crossgrid.kernels.backends import CPU, CUDA, NAIVE
from crossgrid.kernels.errors import InputError
from crossgrid.kernels.rng import tile_key

sys.path.insert(0, str(Path(__file__).parent))

from test_read import CONFIGURATIONS

TILES, BATCH = 2, 5
BLOCK_OF_TILE = np.array([1, 0])
BACKWARD_TOO = ("default", "pcm-read-and-wires", "two-passes-digital-sum")
LATE = (1 << 32) - 2  # the lower word of the tick overflows within the batch


def case(out_size: int, in_size: int, length: int, batch: int = BATCH) -> tuple[Any, Any, Any]:
    """Keys, weights that are multiples of 1/64, inputs of two blocks."""
    rng = np.random.default_rng(3)
    keys = np.stack([tile_key(77, block) for block in range(TILES)])
    w = (rng.integers(-40, 41, (TILES, out_size, in_size)) / 64).astype(np.float32)
    return keys, w, rng.normal(size=(2, batch, length)).astype(np.float32)


def check_read(
    io: IOParameters, direction: str, out_size: int, in_size: int, batch: int = BATCH, rare: float = 0.02,
    reads: int = 1,
) -> int:  # fmt: skip
    """Equal counts; values equal up to float32's rounding, which may tip a converter now and then.

    With two ``reads`` what a periphery remembers takes part. Returns the number of retries.
    """
    length = in_size if direction == "forward" else out_size
    keys, w, x = case(out_size, in_size, length, batch)
    readers = [Periphery(io, keys, out_size, in_size, direction, backend) for backend in (NAIVE, CUDA)]
    retries = 0
    for k in range(reads):
        (wanted, counts), (tensor, counts_there) = (
            reader.read(w, x, BLOCK_OF_TILE, LATE + 16 * k) for reader in readers
        )
        difference = np.abs(tensor.cpu().numpy() - wanted)
        # one step of one read's scale; bound management reads at up to 16 times that
        step = 0.0 if io.perfect else max(io.out_res * 2 * io.out_bound, 0.0) * np.abs(x).max() * 16
        assert np.mean(difference > 1e-4) <= rare, (np.mean(difference > 1e-4), difference.max())
        assert difference.max() <= step + 1e-4, difference.max()
        for wanted_T, there_T in zip(counts, counts_there, strict=True):
            assert np.array_equal(wanted_T, there_T), (counts, counts_there)
        retries += int(counts.retries.sum())
    return retries


def check_bits(io: IOParameters) -> None:
    """The bits of the processors' read where one term of a product is not 0: their order cannot matter then.

    All that draws takes part: converters that round at random, noise of inputs, outputs and weights.
    """
    keys, w, x = case(5, 9, 9, batch=4)
    one_hot = np.zeros_like(x)
    for block, vector in np.ndindex(x.shape[:2]):
        line = (3 * vector + block) % 9
        one_hot[block, vector, line] = x[block, vector, line]
    (wanted, counts), (there, counts_there) = (
        Periphery(io, keys, 5, 9, "forward", backend).read(w, one_hot, BLOCK_OF_TILE, LATE)
        for backend in (CPU, CUDA)
    )
    assert np.array_equal(wanted, there.cpu().numpy())
    for wanted_T, there_T in zip(counts, counts_there, strict=True):
        assert np.array_equal(wanted_T, there_T), (counts, counts_there)


def check_what_is_special() -> None:
    """Perfect reads, vectors of zeros, and inputs that are not finite."""
    keys, w, x = case(3, 5, 5)
    check_read(IOParameters(is_perfect=True, out_scale=0.5), "forward", 3, 5, rare=0.0)
    x[0, 1] = 0.0
    for io in (IOParameters(), IOParameters(inp_noise=0.1)):  # a vector of zeros is silent, or only noise
        wanted, _ = Periphery(io, keys, 3, 5, backend=NAIVE).read(w, x, BLOCK_OF_TILE, 0)
        there, _ = Periphery(io, keys, 3, 5, backend=CUDA).read(w, x, BLOCK_OF_TILE, 0)
        assert np.abs(there[1, 1].cpu().numpy() - wanted[1, 1]).max() < 1e-4
        assert (wanted[1, 1] == 0).all() == (io.inp_noise == 0)
    for bad in (np.nan, np.inf, -np.inf):
        x[1, 2, 4] = bad
        with pytest.raises(InputError, match="input 4 of vector 7"):
            Periphery(IOParameters(), keys, 3, 5, backend=CUDA).read(w, x, BLOCK_OF_TILE, 0)


def main() -> None:
    """Every configuration, on shapes that the interpreter bears; with "every" both ways, and more shapes."""
    every = sys.argv[1:] == ["every"]
    retried = 0
    for case_ in CONFIGURATIONS:
        reads = 2 if case_.id == "average" else 1
        retried += check_read(case_.values[0], "forward", 13, 29, reads=reads)
        if every or case_.id in BACKWARD_TOO:
            check_read(case_.values[0], "backward", 13, 29, reads=reads)
        check_bits(case_.values[0])
        print("agrees:", case_.id, flush=True)
    assert retried > 0
    if every:
        check_read(IOParameters(out_bound=2.0), "forward", 65, 130, batch=3)
        check_read(IOParameters(), "backward", 1, 9, batch=1)
        check_read(IOParameters(), "forward", 9, 1, batch=70)
    check_what_is_special()
    print("agrees: special inputs", flush=True)


if __name__ == "__main__":
    main()
