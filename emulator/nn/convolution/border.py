"""What stands around an image before a convolution reads it: zeros, or values of the image itself."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from crossgrid.kernels.errors import ConfigError, unknown

MODES = ("zeros", "reflect", "replicate", "circular")


@dataclass(frozen=True, slots=True)
class Border:
    """Zeros that are equally wide on both sides come with the patches; any other border is put on before."""

    in_window: tuple[int, ...]  # zeros on both sides of each axis, as patches have them
    before: tuple[int, ...] = ()  # as functional.pad takes it: the last axis first, both sides of each
    mode: str = "constant"

    @classmethod
    def of(
        cls, layer: str, padding: tuple[int, ...] | str, mode: str, kernel: tuple[int, ...],
        stride: tuple[int, ...], dilation: tuple[int, ...],
    ) -> Border:  # fmt: skip
        """The border of a convolution called ``layer`` from torch's arguments.

        Raises:
            ConfigError: words that torch does not know either, or "same" with a stride.
        """
        if mode not in MODES:
            raise unknown(f"{layer}: padding_mode", mode, MODES)
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise unknown(f"{layer}: padding", padding, ("same", "valid"))
            if padding == "same" and any(step != 1 for step in stride):
                raise ConfigError(
                    f"{layer}: padding = 'same' with stride = {stride} has no meaning; use stride 1, or a "
                    "number as padding"
                )
            spans = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilation, kernel, strict=True)]
            sides = [(span // 2, span - span // 2) for span in spans]
        else:
            sides = [(width, width) for width in padding]
        if mode == "zeros" and all(left == right for left, right in sides):
            return cls(tuple(left for left, _ in sides))
        flat = tuple(width for pair in reversed(sides) for width in pair)
        return cls((0,) * len(sides), flat, "constant" if mode == "zeros" else mode)

    def around(self, images: Tensor) -> Tensor:
        """Images [B, channels, ...] with what their patches do not bring along."""
        return functional.pad(images, self.before, self.mode) if any(self.before) else images

    def without(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """The size of images that ``around`` made as wide as ``size``."""
        if not self.before:
            return size
        both = [left + right for left, right in zip(self.before[::2], self.before[1::2], strict=True)]
        return tuple(n - width for n, width in zip(size, reversed(both), strict=True))
