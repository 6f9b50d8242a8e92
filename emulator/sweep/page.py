"""A sweep as one self-contained page: points to point at, the front over any two figures, a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from .front import AXES, MORE_IS_BETTER

if TYPE_CHECKING:
    from .result import Sweep


def page(sweep: Sweep) -> str:
    """The page. It loads nothing from anywhere."""
    model = sweep.study.model if isinstance(sweep.study.model, str) else type(sweep.study.model).__name__
    data = {
        "model": model,
        "chip": str(sweep.study.chip),
        "summary": str(sweep),
        "parameters": list(sweep.study.parameters),
        "axes": list(AXES),
        "more": list(MORE_IS_BETTER),
        "rows": sweep.rows,
    }
    template = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    # a label could hold "</script>": the page reads the data as text of an element
    return template.replace("__DATA__", json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"))
