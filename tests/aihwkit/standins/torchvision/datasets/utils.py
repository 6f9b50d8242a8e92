"""The network that a script downloads: of the same shapes with drawn weights, made by the script's class."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch


def download_url(url: str, root: str) -> None:
    """Write what ``url`` would hold to ``root``."""
    main: Any = sys.modules["__main__"]
    torch.manual_seed(0)
    torch.save({"model_state_dict": main.resnet9s().state_dict()}, Path(root) / Path(url).name)
