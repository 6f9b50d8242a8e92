"""Writes step_devices.json: quantiles of aihwkit's weights after 200 updates of each step device.

Run in an environment with aihwkit 1.1.0, from the repository's root:
    PEER/bin/python tests/golden/make_step_devices.py
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import numpy as np
from step_device_cases import CASES, LEARNING_RATE, SIZE, updates

QUANTILES = 257
TILES = 4  # independent tiles whose weights are pooled


def main() -> None:
    sys.modules.setdefault("torchvision", types.ModuleType("torchvision"))
    import aihwkit
    import torch
    from aihwkit.simulator.configs import SingleRPUConfig, devices
    from aihwkit.simulator.tiles import AnalogTile

    x, d = (torch.from_numpy(values) for values in updates())
    quantiles = {}
    for name, (kind, fields) in CASES.items():
        weights = []
        for _ in range(TILES):
            tile = AnalogTile(SIZE, SIZE, SingleRPUConfig(device=getattr(devices, kind)(**fields)))
            tile.set_weights(torch.zeros(SIZE, SIZE))
            tile.set_learning_rate(LEARNING_RATE)
            for k in range(len(x)):
                tile.update(x[k : k + 1], d[k : k + 1])
                tile.post_update_step()
            weights.append(tile.get_weights(realistic=False)[0].numpy().ravel())
        levels = np.linspace(0.0, 1.0, QUANTILES)
        quantiles[name] = [float(f"{v:.6g}") for v in np.quantile(np.concatenate(weights), levels)]
    made = {
        "command": "PEER/bin/python tests/golden/make_step_devices.py",
        "aihwkit": aihwkit.__version__,
        "samples": TILES * SIZE * SIZE,
        "quantiles": quantiles,
    }
    Path(__file__).with_name("step_devices.json").write_text(json.dumps(made) + "\n")


if __name__ == "__main__":
    main()
