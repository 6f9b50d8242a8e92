"""Formats of pictures, told by a file's ending."""

from __future__ import annotations

from pathlib import Path

from crossgrid.kernels.errors import ConfigError


def picture_format(path: str | Path) -> str:
    """The format that a picture's name ends with, "png" where it has no ending: what ``savefig`` is given,
    which writes to the very name then.

    Raises:
        ConfigError: the ending is no format of pictures.
    """
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib.figure import Figure

    form = Path(path).suffix[1:].lower() or "png"
    known = Figure().canvas.get_supported_filetypes()
    if form not in known:
        raise ConfigError(
            f"picture '{path}': '{form}' is no format of pictures; give one of {', '.join(known)}"
        )
    return form
