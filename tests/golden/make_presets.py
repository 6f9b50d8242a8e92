"""Write presets.json: every field of every preset configuration of aihwkit.

Run it with a Python that has aihwkit 1.1.0 (CPython 3.11, torch 2.10): ``python make_presets.py``.
"""

from __future__ import annotations

import json
from pathlib import Path

from aihwkit import __version__
from aihwkit.simulator import presets
from aihwkit.simulator.parameters.base import RPUConfigBase
from preset_fields import leaves


def names() -> list[str]:
    """The presets that are whole configurations."""
    found = (name for name in dir(presets) if name.endswith("Preset"))
    return [name for name in found if issubclass(getattr(presets, name), RPUConfigBase)]


if __name__ == "__main__":
    table = {name: leaves(getattr(presets, name)()) for name in names()}
    digital = ("FloatingPointPreset", "StandardHWATrainingPreset")
    learning = {name: each for name, each in table.items() if name not in digital}
    first, *others = learning.values()
    common = {k: v for k, v in first.items() if all(k in each and each[k] == v for each in others)}
    golden = {
        "aihwkit": __version__,
        "every preset that learns by pulses": common,
        "learn by pulses": {
            name: {k: v for k, v in each.items() if k not in common} for name, each in learning.items()
        },
        "others": {name: each for name, each in table.items() if name not in learning},
    }
    target = Path(__file__).with_name("presets.json")
    target.write_text(json.dumps(golden, indent=0) + "\n", encoding="utf-8")
