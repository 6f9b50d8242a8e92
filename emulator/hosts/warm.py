"""Compile a run's kernels once, into numba's cache on disk, before many actors need them at the same time.

``python -m crossgrid.emulator.hosts.warm`` does it for the default configuration, and compiles the package's
modules to bytecode; ``make setup`` calls it.
"""

from __future__ import annotations

import compileall
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from crossgrid import chip, emulator, kernels
from crossgrid.chip import LayerShape, load_chip, map_layers
from crossgrid.kernels.analog_mvm import warm as warm_products
from crossgrid.kernels.arrays.warm import warm as warm_devices
from crossgrid.kernels.patches.unfold import Window

from ..config.rpu import SingleRPUConfig, update_of
from ..tiles.layer import HostedLayer
from ..tiles.layer_spec import LayerSpec, TileSpec
from ..tiles.messages import Backward, Forward, Update

CONFIG = SingleRPUConfig()

#: vectors of the batch that the kernels are tried with
VECTORS = 2


def warm_kernels(specs: Iterable[LayerSpec]) -> None:
    """Compile, or load from the disk, what the tiles of these layers need."""
    done = []
    for spec in specs:
        kind = (spec.rpu_config, spec.patches is not None)
        if kind not in done:
            done.append(kind)
            warm_products()
            warm_devices(spec.rpu_config.device, update_of(spec.rpu_config))
            _exercise(spec)


def _exercise(spec: LayerSpec) -> None:
    """A forward, a backward and an update of a small layer of the same configuration."""
    patches = spec.patches
    in_size = 3 if patches is None else 3 * patches.size
    tiles = (TileSpec(0, 0, 0, 0, 2, 0, in_size, "warm"),)
    small = replace(
        spec, name="warm", key=0, out_size=2, in_size=in_size, rows=1, columns=1, tiles=tiles, groups=1,
        bias_column=False,
    )  # fmt: skip
    layer = HostedLayer(small, [0])
    shape: tuple[int, ...] = (VECTORS, 3)
    if patches is not None:  # the smallest image, of one position
        shape += tuple(d * (k - 1) + 1 for k, d in zip(patches.kernel, patches.dilation, strict=True))
    x = np.full(shape, 0.5, np.float32)
    sums = layer.forward(Forward(0, 0, 0, spec.learns, None, None, 1.0, None, [x]))
    d = np.full(sums.parts[0].shape, 0.1, np.float32)
    layer.backward(Backward(0, 0, 0, 0 if spec.learns else None, True, None, [d], []))
    if spec.learns:
        layer.update(Update(0, 0, 0.01, ((0, 0),)))
    else:
        layer.groups[0].bank.program([np.zeros(tiles[0].shape, np.float32)], 0, None)
        warm_copies()
    layer.counters({})


def warm_copies() -> None:
    """Compile what writes matrices; imported here: drivers of stages know this module and compile nothing."""
    from crossgrid.kernels.machine.copies import row_copier

    row_copier()


def warm_schedules() -> None:
    """Compile the events of a schedule."""
    from crossgrid.chip.schedule.schedule import schedule

    chip_of_tiles = load_chip("demo-128")
    schedule(map_layers([LayerShape("warm", 2, 3)], chip_of_tiles), chip_of_tiles)


def compile_modules() -> None:
    """Write the modules' bytecode; every actor would make it where PYTHONDONTWRITEBYTECODE is set."""
    for package in (kernels, chip, emulator):
        compileall.compile_dir(str(Path(package.__path__[0])), quiet=2)


def main() -> None:
    """Compile what the default configuration needs, for linear and convolution layers, and schedules."""
    compile_modules()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:  # they compile side by side
        begun = (
            pool.submit(warm_products), pool.submit(warm_devices, CONFIG.device, CONFIG.update),
            pool.submit(warm_schedules), pool.submit(warm_copies),
        )  # fmt: skip
        for each in begun:
            each.result()
    tiles = (TileSpec(0, 0, 0, 0, 2, 0, 3, "warm"),)
    linear = LayerSpec("warm", 0, 2, 3, 1, 1, tiles, None, CONFIG)
    window = Window((3, 3), (1, 1), (0, 0), (1, 1))
    warm_kernels([linear, replace(linear, patches=window)])


if __name__ == "__main__":
    main()
