"""Write cells.json: aihwkit's weights after the updates of cell_scenarios, as quantiles.

Run with a Python that has aihwkit 1.1.0 (and its torch): ``python tests/golden/make_cells.py``. aihwkit seeds
its random numbers from the clock, so every run gives another sample of the same distributions.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "kernels" / "cells"))

import cell_scenarios as cs  # noqa: E402

warnings.simplefilter("ignore")


def aihwkit_names() -> SimpleNamespace:
    from aihwkit.simulator.configs import compounds, devices
    from aihwkit.simulator.parameters import enums, io

    names = {}
    for module in (devices, compounds, enums, io):
        names.update({name: value for name, value in vars(module).items() if not name.startswith("_")})
    return SimpleNamespace(**names, own_fast_lr={})


def run(scenario: cs.Scenario, n: SimpleNamespace) -> dict[str, np.ndarray]:
    import torch
    from aihwkit.simulator.configs.configs import DigitalRankUpdateRPUConfig, UnitCellRPUConfig
    from aihwkit.simulator.tiles.analog import AnalogTile

    device = scenario.build(n)
    kind = DigitalRankUpdateRPUConfig if isinstance(device, n.MixedPrecisionCompound) else UnitCellRPUConfig
    tile = AnalogTile(scenario.out_size, scenario.in_size, kind(device=device))
    tile.set_weights(torch.full((scenario.out_size, scenario.in_size), scenario.start))
    tile.set_learning_rate(scenario.rate)
    for x, d in zip(*scenario.vectors(), strict=True):
        tile.update(torch.from_numpy(x), torch.from_numpy(d))
    found = {"weights": tile.get_weights()[0].numpy()}
    if scenario.hidden:
        found["fast"] = tile.get_hidden_parameters()["hidden_weights_0"].numpy()
    return found


def main() -> None:
    import aihwkit

    n = aihwkit_names()
    golden = {
        name: {part: [float(f"{q:.6g}") for q in cs.quantiles(values)] for part, values in run(s, n).items()}
        for name, s in cs.SCENARIOS.items()
    }
    made = {"aihwkit": aihwkit.__version__, "command": "python tests/golden/make_cells.py", "cells": golden}
    (HERE / "cells.json").write_text(json.dumps(made).replace("}, ", "},\n") + "\n")


if __name__ == "__main__":
    main()
