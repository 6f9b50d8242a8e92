"""Where commands write plain data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_json(target: str, data: Any) -> None:
    """Write plain data to a file, or to the terminal ("-")."""
    text = json.dumps(data, indent=1)
    if target == "-":
        print(text)
    else:
        Path(target).write_text(text + "\n", encoding="utf-8")
