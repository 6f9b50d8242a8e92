"""Where a benchmark's figures were taken."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any


def machine(*packages: str) -> dict[str, Any]:
    """Processor, system, time, and the versions of ``packages``."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else "unknown", "cores": os.cpu_count(), "system": platform.platform(),
        "python": platform.python_version(), **{name: version(name) for name in packages},
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }  # fmt: skip
