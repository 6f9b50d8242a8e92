"""Writes periphery.json: how the outputs of aihwkit's reads of periphery_cases are distributed.

Run in an environment with aihwkit 1.1.0, from the repository's root:
    PEER/bin/python tests/golden/make_periphery.py
aihwkit seeds its random numbers from the clock, so every run gives another sample of the same distributions.
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from periphery_cases import DIRECTIONS, EXACT, EXACT_VECTORS, LEVELS, LINES, NOISY, Array, Case, built


def aihwkit_names() -> types.SimpleNamespace:
    from aihwkit.simulator.parameters import enums, io
    from aihwkit.simulator.presets import utils

    return types.SimpleNamespace(**{**vars(enums), **vars(io), **vars(utils)})


def read(io: Any, w: Array, x: Array, direction: str) -> tuple[Array, Array]:
    """What a new tile makes of the vectors ``x``, one after another; the offsets of its lines, if any."""
    import torch
    from aihwkit.simulator.configs import SingleRPUConfig
    from aihwkit.simulator.configs.devices import IdealDevice
    from aihwkit.simulator.tiles import AnalogTile

    tile = AnalogTile(*w.shape, SingleRPUConfig(device=IdealDevice(), forward=io, backward=io))
    tile.set_weights(torch.from_numpy(w))
    y = getattr(tile, direction)(torch.from_numpy(x)).detach().numpy()
    return y, getattr(tile, f"get_{direction}_parameters")()["v_offset"].numpy()


def distributions(case: Case, names: Any, direction: str) -> list[dict[str, Any]]:
    w, x = case.sampling.weights(direction), case.inputs()
    reads = [read(case.io(names), w, x, direction) for _ in range(case.sampling.tiles)]
    y_TBL, offset_TL = (np.stack(part) for part in zip(*reads, strict=True))
    groups = case.sampling.groups(y_TBL, offset_TL)
    found = [np.quantile(group.astype(np.float64), LEVELS, method="inverted_cdf") for group in groups]
    return [
        {"samples": len(group), "quantiles": values}
        for group, values in zip(groups, rounded(found), strict=True)
    ]


def exact(fields: dict[str, Any], names: Any, direction: str) -> list[list[float]]:
    w = LINES if direction == "forward" else np.ascontiguousarray(LINES.T)
    return rounded(read(built(fields, names), w, EXACT_VECTORS, direction)[0])


def rounded(rows: Iterable[Array]) -> list[list[float]]:
    return [[float(f"{value:.6g}") for value in row] for row in rows]


def main() -> None:
    sys.modules.setdefault("torchvision", types.ModuleType("torchvision"))
    import aihwkit

    names = aihwkit_names()
    made = {
        "command": "PEER/bin/python tests/golden/make_periphery.py",
        "aihwkit": aihwkit.__version__,
        "noisy": {n: {d: distributions(case, names, d) for d in DIRECTIONS} for n, case in NOISY.items()},
        "exact": {n: {d: exact(fields, names, d) for d in DIRECTIONS} for n, fields in EXACT.items()},
    }
    text = json.dumps(made).replace("}, ", "},\n")
    Path(__file__).with_name("periphery.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
