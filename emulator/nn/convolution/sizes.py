"""The sizes that convolutions are given: one number, or one for each spatial axis."""

from __future__ import annotations

from crossgrid.kernels.errors import ConfigError

Size = int | tuple[int, ...]


def each_axis(layer: str, name: str, value: Size, axes: int, least: int = 1) -> tuple[int, ...]:
    """``value`` for each of ``axes`` axes, or an error that names ``layer`` and the argument ``name``."""
    values = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(values) != axes or any(not isinstance(v, int) or v < least for v in values):
        raise ConfigError(f"{layer}: {name} = {value!r} must be {axes} whole numbers, each at least {least}")
    return values


def require_groups(layer: str, groups: int, in_channels: int, out_channels: int) -> None:
    """An error where the channels are not equal parts."""
    if groups < 1 or in_channels % groups or out_channels % groups:
        raise ConfigError(
            f"{layer}: groups = {groups} must divide in_channels = {in_channels} and "
            f"out_channels = {out_channels}"
        )
