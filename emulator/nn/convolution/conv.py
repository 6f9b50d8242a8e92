"""AnalogConv1d, 2d and 3d: convolutions as matrix products over unfolded patches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, cast

from torch import Tensor, nn

from crossgrid.kernels.errors import InputError
from crossgrid.kernels.patches.unfold import Window

from ...config.rpu import RPUConfig
from ..base import AnalogLayer
from ..inputs import eager, in_autocast_type, require_input
from ..keys import key_of
from .border import Border
from .sizes import Size, each_axis, require_groups


class _AnalogConv(AnalogLayer):
    """A convolution whose kernels are the rows W[out_channels, in_channels / groups x kernel] of the tiles.

    Args:
        in_channels, out_channels: channels of input and output images.
        kernel_size, stride, padding, dilation: one number or one a spatial dimension; padding also "same"
            or "valid".
        groups: parts of the channels that do not see each other; as many as channels: depthwise. Each
            part's kernels W[out / groups, in / groups x kernel] are cut for themselves, no tile is shared:
            an array's pulses would also move the devices between a part's inputs and another's outputs.
            For inference several can share one (``mapping.grouped = "diagonal"``).
        bias: add a bias: digital, or a column of the tiles (``mapping.digital_bias``).
        rpu_config, seed: as for ``AnalogLinear``.
        padding_mode: what stands around an image: "zeros", "reflect", "replicate" or "circular".
    """

    dimensions: ClassVar[int]
    digital: ClassVar[type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        rpu_config: RPUConfig | None = None,
        seed: int | None = None,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__()
        name, axes = type(self).__name__, self.dimensions
        require_groups(name, groups, in_channels, out_channels)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = each_axis(name, "kernel_size", kernel_size, axes)
        self.stride = each_axis(name, "stride", stride, axes)
        self.dilation = each_axis(name, "dilation", dilation, axes)
        self.padding = padding if isinstance(padding, str) else each_axis(name, "padding", padding, axes, 0)
        self.padding_mode = padding_mode
        border = Border.of(name, self.padding, padding_mode, self.kernel_size, self.stride, self.dilation)
        self.border = border
        patches = Window(self.kernel_size, self.stride, border.in_window, self.dilation)
        in_size = in_channels // groups * patches.size
        spec = self._spec(seed, out_channels, in_size, rpu_config, bias, patches, groups)
        self._build(spec, out_channels if bias else None)

    @classmethod
    def from_digital(cls, module: nn.Module, rpu_config: RPUConfig, name: str) -> _AnalogConv:
        """The analog twin of a torch layer, with its weights."""
        assert isinstance(module, cls.digital)
        layer = cls(
            module.in_channels, module.out_channels, module.kernel_size, module.stride, module.padding,
            module.dilation, module.groups, module.bias is not None, rpu_config, key_of(module, name),
            module.padding_mode,
        )  # fmt: skip
        layer._take_over(module, name)
        return layer

    def _twin(self, bias: bool) -> nn.Module:
        make: Callable[..., nn.Conv1d | nn.Conv2d | nn.Conv3d] = self.digital
        return make(
            self.in_channels, self.out_channels, self.kernel_size, self.stride, self.padding,
            self.dilation, self.groups, bias, self.padding_mode,
        )  # fmt: skip

    if TYPE_CHECKING:  # torch types a module's call as Any

        def __call__(self, input: Tensor) -> Tensor: ...

    @eager
    def forward(self, input: Tensor) -> Tensor:
        """Images y[B, out_channels, ...] of images x[B, in_channels, ...]."""
        x, tiles = input, self.analog_tile
        name, patches = tiles.grid.spec.name, tiles.grid.spec.patches
        assert patches is not None
        require_input(name, x)
        batched = x.dim() == self.dimensions + 2
        images = x if batched else x.unsqueeze(0)
        if images.dim() != self.dimensions + 2 or images.shape[1] != self.in_channels:
            raise InputError(
                f"{name}: input of shape {tuple(x.shape)}; images with {self.in_channels} "
                f"channels and {self.dimensions} spatial dimensions are needed"
            )
        images = self.border.around(in_autocast_type(images))
        y = cast(Tensor, tiles(images, self.weight, self.bias, patches.output_size(tuple(images.shape[2:]))))
        return y if batched else y.squeeze(0)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}"
        text += f", kernel_size={self.kernel_size}, stride={self.stride}"
        if isinstance(self.padding, str) or any(self.padding):
            text += f", padding={self.padding!r}"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode!r}"
        if any(d != 1 for d in self.dilation):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return text if self.bias is not None else text + ", bias=False"


class AnalogConv1d(_AnalogConv):
    """A 1-D convolution on tiles."""

    dimensions = 1
    digital = nn.Conv1d


class AnalogConv2d(_AnalogConv):
    """A 2-D convolution on tiles."""

    dimensions = 2
    digital = nn.Conv2d


class AnalogConv3d(_AnalogConv):
    """A 3-D convolution on tiles."""

    dimensions = 3
    digital = nn.Conv3d
