"""The analog product of both sides: ``OwnRead`` here, ``PeerRead`` in aihwkit's environment.

Alone: ``python -m peer.mvm --peer DIR`` from the benchmarks folder prints the table; both sides take
turns, and their results are compared with the exact product before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .rows import ROWS, Row

DIRECTIONS = ("forward", "backward")
LAYER = Row(4096, 4096, 16, 1.0)  # in 64 tiles of 512 x 512
TILE_SIZE = 512
ROUNDS, REPEATS = 10, 8


def weights(row: Row) -> NDArray[np.float32]:
    """Weights [out, in] inside the bounds of the default devices."""
    rng = np.random.default_rng(2)
    return rng.uniform(-0.3, 0.3, (row.out_size, row.in_size)).astype(np.float32)


class OwnRead:
    """A noisy product by this project, of one tile or of a layer's tiles stacked."""

    def __init__(self, direction: str, row: Row) -> None:
        from crossgrid.kernels.analog_mvm import IOParameters, Periphery
        from crossgrid.kernels.rng import tile_key

        size = TILE_SIZE if row is LAYER or row == LAYER else max(row.out_size, row.in_size)
        self.forward = direction == "forward"
        out, in_ = min(size, row.out_size), min(size, row.in_size)
        grid = row.out_size // out, row.in_size // in_
        tiles = weights(row).reshape(grid[0], out, grid[1], in_).transpose(0, 2, 1, 3)
        self.w_TOI = np.ascontiguousarray(tiles).reshape(-1, out, in_)
        keys = np.stack([tile_key(1, block) for block in range(len(self.w_TOI))])
        self.periphery = Periphery(IOParameters(), keys, out, in_, "forward" if self.forward else "backward")
        x, d = row.data()
        values, parts = (x, grid[1]) if self.forward else (d, grid[0])
        blocks = values.reshape(row.batch, parts, -1).transpose(1, 0, 2)
        self.x_XBI = np.ascontiguousarray(blocks)
        row_of, column_of = np.divmod(np.arange(len(keys)), grid[1])
        self.of_tile = column_of if self.forward else row_of
        self.parts, self.grid, self.tick, self.batch = parts, grid, 0, row.batch

    def run(self) -> NDArray[np.float32]:
        """One read [batch, lines]; partial sums of input blocks are added in block order."""
        y_TBO, _ = self.periphery.read(self.w_TOI, self.x_XBI, self.of_tile, self.tick)
        self.tick += self.batch
        if len(y_TBO) == 1:
            return y_TBO[0]
        by_block = y_TBO.reshape(*self.grid, self.batch, -1)
        return np.concatenate(list(by_block.sum(axis=1 if self.forward else 0)), axis=1)


class PeerRead:
    """A noisy product by aihwkit."""

    def __init__(self, direction: str, row: Row) -> None:
        sys.modules.setdefault("torchvision", types.ModuleType("torchvision"))
        import torch
        from aihwkit.nn import AnalogLinear
        from aihwkit.simulator.configs import ConstantStepDevice, SingleRPUConfig, SoftBoundsDevice
        from aihwkit.simulator.tiles import AnalogTile

        x, d = row.data()
        w = torch.from_numpy(weights(row))
        self.forward = direction == "forward"
        self.values: Any = torch.from_numpy(x if self.forward else d)
        if row == LAYER:
            config = SingleRPUConfig(device=SoftBoundsDevice(w_max_dtod=0.0, w_min_dtod=0.0))
            config.mapping.max_input_size = config.mapping.max_output_size = TILE_SIZE
            self.layer: Any = AnalogLinear(row.in_size, row.out_size, bias=False, rpu_config=config)
            self.layer.set_weights(w)
            return
        config = SingleRPUConfig(device=ConstantStepDevice(w_max_dtod=0.0, w_min_dtod=0.0))
        self.layer = None
        self.tile: Any = AnalogTile(row.out_size, row.in_size, config)
        self.tile.set_weights(w)

    def run(self) -> Any:
        """One read [batch, lines]."""
        if self.layer is not None:
            return self.layer(self.values)
        return self.tile.forward(self.values) if self.forward else self.tile.backward(self.values)


def slope(result: NDArray[np.float32], direction: str, row: Row) -> float:
    """Slope of a result over the exact product: 1 within a few percent where it is right."""
    x, d = row.data()
    exact = x @ weights(row).T if direction == "forward" else d @ weights(row)
    return float((result * exact).sum() / (exact.astype(np.float64) ** 2).sum())


def times(job: Any, repeats: int) -> list[float]:
    """Milliseconds of ``repeats`` runs."""
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        job.run()
        taken.append(1e3 * (time.perf_counter() - begin))
    return taken


def serve(threads: int) -> None:
    """aihwkit's side: one JSON request a line."""
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    replies, sys.stdout = sys.stdout, sys.stderr
    job: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        if "open" in request:
            row = Row(*request["row"])
            job = PeerRead(request["open"], row)
            reply: Any = slope(np.asarray(job.run()), request["open"], row)
        else:
            reply = times(job, request["repeats"])
        print(json.dumps(reply), file=replies, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, help="virtual environment with aihwkit 1.1.0")
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.serve:
        serve(options.threads)
        return
    import numba

    numba.set_num_threads(min(options.threads, numba.config.NUMBA_NUM_THREADS))
    peer = subprocess.Popen(
        [str(options.peer / "bin" / "python"), "-m", "peer.mvm", "--serve",
         "--threads", str(options.threads)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
        env={**os.environ, "OMP_NUM_THREADS": str(options.threads)},
    )  # fmt: skip
    assert peer.stdin is not None
    assert peer.stdout is not None

    def ask(**request: Any) -> Any:
        assert peer.stdin is not None
        assert peer.stdout is not None
        print(json.dumps(request), file=peer.stdin, flush=True)
        return json.loads(peer.stdout.readline())

    ratios = []
    for direction, row in [(way, row) for way in DIRECTIONS for row in ROWS] + [("forward", LAYER)]:
        fields = [row.out_size, row.in_size, row.batch, row.density]
        own, peer_slope = OwnRead(direction, row), ask(open=direction, row=fields)
        own_slope = slope(own.run(), direction, row)
        if max(abs(own_slope - 1), abs(peer_slope - 1)) > 0.1:
            sys.exit(
                f"{direction} {row.name}: slope {own_slope:.3f}, aihwkit's {peer_slope:.3f}; both must be 1"
            )
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(ROUNDS):
            ours += times(own, REPEATS)
            theirs += ask(repeats=REPEATS)
        mine, other = float(np.median(ours)), float(np.median(theirs))
        ratios.append(other / mine)
        best = min(theirs) / min(ours)
        figures = f"{mine:8.3f} {other:8.3f} ms {other / mine:6.2f}x (best {best:.2f}x)"
        print(f"{direction:8s} {row.name:16s} {figures}", flush=True)
    single = ratios[:-1]
    mean = np.exp(np.mean(np.log(single)))
    print(f"single tile: geometric mean {mean:.2f}, lowest {min(single):.2f}")
    peer.stdin.close()


if __name__ == "__main__":
    main()
