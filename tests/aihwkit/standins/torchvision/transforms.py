"""Transforms, none of which does anything: pictures are tensors already."""

from __future__ import annotations

from typing import Any


class Transform:
    """Takes any settings and gives back what it is given."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.settings = args, kwargs

    def __call__(self, picture: Any) -> Any:
        return picture


class Compose(Transform):
    """Several, one after another."""


class ToTensor(Transform):
    """From a picture to a tensor."""


class Normalize(Transform):
    """By mean and deviation."""
