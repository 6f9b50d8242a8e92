"""The constant input that a bias's column is multiplied by: put behind each group's inputs, and taken off."""

from __future__ import annotations

from typing import Any

from .values import library, zeros_beside


def with_constants(x_BI: Any, groups: int, constant: Any) -> Any:
    """[x_1 c x_2 c ...] of inputs [x_1 x_2 ...] of ``groups`` equally wide groups; a copy.

    c is a number, or, of tensors, a tensor of one.
    """
    batch, width = x_BI.shape
    x_BGI = x_BI.reshape(batch, groups, width // groups)
    behind_BG1 = zeros_beside(x_BI, (batch, groups, 1)) + constant
    return library(x_BI).concatenate([x_BGI, behind_BG1], axis=2).reshape(batch, width + groups)


def without_constants(z_BI: Any, groups: int) -> Any:
    """The gradient [z_1 z_2 ...] of [z_1 . z_2 . ...]: none of a constant."""
    batch, width = z_BI.shape
    return z_BI.reshape(batch, groups, width // groups)[:, :, :-1].reshape(batch, width - groups)
