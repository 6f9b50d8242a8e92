"""Files that aihwkit saved, read without aihwkit and without running what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..missing import absent

THEIRS = "aihwkit"


class Foreign:
    """An object of a class of aihwkit: its fields, and nothing that it could do."""

    def __init__(self, *args: Any) -> None:
        self.args = args


def load_checkpoint(path: str | Path) -> Any:
    """What ``torch.save(model.state_dict(), path)`` of aihwkit wrote, for ``load_state_dict`` here.

    Read with ``weights_only=True``: classes of aihwkit become plain records, all others are refused by torch.
    """
    names = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    foreign: list[Any] = [
        (type(name.rpartition(".")[2], (Foreign,), {}), name)
        for name in names
        if name.split(".")[0] == THEIRS
    ]
    with torch.serialization.safe_globals(foreign):
        return torch.load(path, map_location="cpu", weights_only=True)


__getattr__ = absent(__name__)
