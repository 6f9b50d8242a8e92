"""A layer's weight as torch sees it: a parameter of torch's shape, whose numbers may be on tiles.

``AnalogContext`` is the parameter of a matrix that learns by pulses. Shape, type and device are known without
asking the tiles; an operation that needs numbers reads them, one that writes in place writes to the tiles.
``TrainedWeight`` is that of a matrix which is trained digitally: an ordinary parameter that torch's fused
kernels, which compute past the modules, leave alone.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

from crossgrid.kernels.errors import ConfigError

from ..tiles.bank import Floats
from ..tiles.layer_spec import LayerSpec
from .conversions import as_array
from .waiting import PulsesWaiting

if TYPE_CHECKING:
    from typing_extensions import Self


class Tiles(Protocol):
    """What a weight needs of the tiles that hold it: those of one matrix, or of a stack of matrices."""

    @property
    def label(self) -> str:
        """What the weight is called."""
        ...

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Torch's shape of the whole weight."""
        ...

    def read_weight(self) -> Tensor:
        """The whole weight in torch's shape, float32: a copy."""
        ...

    def write_weight(self, weight: Tensor) -> None:
        """Write the whole weight; every device clips to its bounds."""
        ...


def matrix_of(spec: LayerSpec, weight: Tensor) -> Floats:
    """A weight of torch's shape as W[out, in] in float32, without a copy where possible."""
    w_OI: Floats = np.ascontiguousarray(spec.matrix(as_array(weight)))
    return w_OI


def digest_of(w_OI: Floats) -> bytes:
    """SHA-256 of a weight matrix; of a large one that of its pieces' digests, behind ``OF_PIECES``."""
    values = np.ascontiguousarray(w_OI).reshape(-1).view(np.uint8)
    if len(values) <= PIECE:
        return _sha256(values)
    pieces = [values[first : first + PIECE] for first in range(0, len(values), PIECE)]
    try:
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # to hash takes as long as to program
            digests = [*pool.map(_sha256, pieces)]
    except RuntimeError:  # Python starts no thread any more while it ends, nor where there may be no more
        digests = [*map(_sha256, pieces)]
    return OF_PIECES + _sha256(b"".join(digests))


def is_digest_of(digest: bytes, w_OI: Floats) -> bool:
    """Whether a matrix is the one with this digest; saved runs may have SHA-256 of a large one's whole."""
    if digest.startswith(OF_PIECES):
        return digest == digest_of(w_OI)
    return digest == _sha256(np.ascontiguousarray(w_OI))


def _sha256(values: Any) -> bytes:
    return hashlib.sha256(values).digest()


def weight_of(spec: LayerSpec, w_OI: Floats) -> Tensor:
    """W[out, in] as a float32 tensor of the shape in which torch keeps the layer's weight."""
    weight: Tensor = spec.weight(torch.from_numpy(w_OI))
    return weight.contiguous()


#: bytes of a matrix that one thread hashes: part of the format of saved runs, as the name before a digest
PIECE = 4 << 20
OF_PIECES = b"pieces:"

#: torch's own attribute, which ``AnalogContext`` has in its place
_GRAD: Any = torch._C.TensorBase.grad  # type: ignore[attr-defined]
#: a step from a weight to a part of it
View = Callable[[Any], Any]


class LazyWeight(torch.Tensor):
    """A weight on tiles or a view of it: numbers come when an operation asks, what is written goes there."""

    tiles: Tiles
    path: tuple[View, ...]  # from the whole weight to this view

    @staticmethod
    def __new__(
        cls, tiles: Tiles, shape: Tensor, device: torch.device, path: tuple[View, ...] = (),
        requires_grad: bool = False,
    ) -> Self:  # fmt: skip
        """A tensor of the shape, strides and type of ``shape``, which is on the meta device."""
        made: Self = torch.Tensor._make_wrapper_subclass(
            cls, shape.shape, strides=shape.stride(), storage_offset=shape.storage_offset(),
            dtype=shape.dtype, device=device, requires_grad=requires_grad,
        )  # fmt: skip
        made.tiles, made.path = tiles, path
        return made

    def values(self) -> Tensor:
        """The present numbers: a plain tensor, a copy."""
        return self._part(self._whole())

    def _whole(self) -> Tensor:
        """The numbers of the whole weight, of this tensor's type and on its device."""
        return self.tiles.read_weight().to(self.device, self.dtype)

    def _part(self, whole: Tensor) -> Tensor:
        for step in self.path:
            whole = step(whole)
        return whole

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # that there is such a method keeps torch's fused kernels away; gradients have rules of their own
        if PulsesWaiting in types:
            return NotImplemented
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.is_view:
            return args[0]._viewed(lambda t: func(t, *args[1:], **kwargs))
        leaves, tree = tree_flatten((args, kwargs))
        lazy = {id(leaf): leaf for leaf in leaves if isinstance(leaf, LazyWeight)}
        wholes = {id(leaf.tiles): leaf._whole() for leaf in lazy.values()}
        plain = {key: leaf._part(wholes[id(leaf.tiles)]) for key, leaf in lazy.items()}
        read_args, read_kwargs = tree_unflatten([plain.get(id(leaf), leaf) for leaf in leaves], tree)
        result = func(*read_args, **read_kwargs)
        for tiles in {id(leaf.tiles): leaf.tiles for leaf in _written(func, args, kwargs)}.values():
            tiles.write_weight(wholes[id(tiles)])
        own = {id(plain[key]): leaf for key, leaf in lazy.items()}
        return tree_map_only(Tensor, lambda t: own.get(id(t), t), result)

    def _viewed(self, step: View) -> Any:
        """What ``step`` makes of this tensor: a view, or a list of views."""
        shape = torch.empty_strided(self.shape, self.stride(), dtype=self.dtype, device="meta")
        seen = step(shape)
        if isinstance(seen, Tensor):
            return LazyWeight(self.tiles, seen, self.device, (*self.path, step))
        return [
            LazyWeight(self.tiles, part, self.device, (*self.path, _nth(step, n)))
            for n, part in enumerate(seen)
        ]

    @property
    def data(self) -> Tensor:  # type: ignore[override]
        """The same weight outside torch's graph; what is assigned is written to the tiles."""
        return self.detach()

    @data.setter
    def data(self, values: Tensor) -> None:
        with torch.no_grad():
            self.detach().copy_(values)

    def numpy(self, *, force: bool = False) -> np.ndarray:  # type: ignore[override]
        """The numbers as an array: a copy."""
        return self.values().numpy(force=force)

    def tolist(self) -> Any:
        return self.values().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values: np.ndarray = self.values().numpy(force=True)
        return values if dtype is None else values.astype(dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return self.values()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.values().__reduce_ex__(protocol)


def _nth(step: View, n: int) -> View:
    return lambda t: step(t)[n]


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[LazyWeight]:
    """The lazy tensors that ``func`` writes to."""
    found: list[LazyWeight] = []
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        value = args[place] if place < len(args) and not argument.kwarg_only else kwargs.get(argument.name)
        found += [
            v for v in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(v, LazyWeight)
        ]
    return found


class AnalogContext(LazyWeight, nn.Parameter):
    """The weight parameter of a matrix that learns by pulses: torch's shape, the numbers on the tiles.

    Optimizers see the layer through it, and the layer's output requires a gradient. After a backward pass
    its ``grad`` is ``PulsesWaiting``. Reading it gives what the tiles hold; writing in place writes to the
    devices, each of which clips to its bounds.
    """

    learners: weakref.WeakSet[torch.optim.Optimizer]  # those that update the tiles

    @staticmethod
    def __new__(
        cls, tiles: Tiles, dtype: torch.dtype | None = None, device: torch.device | str = "cpu",
        requires_grad: bool = True,
    ) -> AnalogContext:  # fmt: skip
        """The parameter, of torch's default type if no other is given."""
        shape = torch.empty(tiles.weight_shape, dtype=dtype, device="meta")
        made = LazyWeight.__new__(cls, tiles, shape, torch.device(device), requires_grad=True)
        made.learners = weakref.WeakSet()
        made.register_hook(functools.partial(_refuse_gradient, tiles))
        made.requires_grad_(requires_grad)
        return made

    @property
    def grad(self) -> Tensor | None:  # type: ignore[override]
        """The pulses that wait, or None: asked for past the functions of the class, which take longer."""
        with torch._C.DisableTorchFunctionSubclass():
            gradient: Tensor | None = _GRAD.__get__(self)
            return gradient

    @grad.setter
    def grad(self, gradient: Tensor | None) -> None:
        with torch._C.DisableTorchFunctionSubclass():
            _GRAD.__set__(self, gradient)

    @grad.deleter
    def grad(self) -> None:
        self.grad = None

    def take_type(self, convert: Callable[[Tensor], Tensor]) -> None:
        """Be of the type and on the device that ``convert``, as ``Module.to`` has it, gives tensors."""
        like = convert(torch.empty(0, dtype=self.dtype, device=self.device))
        shape = torch.empty(self.shape, dtype=like.dtype, device="meta")
        waiting, self.grad = self.grad, None
        torch.Tensor.data.__set__(self, LazyWeight(self.tiles, shape, like.device))  # type: ignore[attr-defined]
        if isinstance(waiting, PulsesWaiting):
            self.grad = waiting.to(self)

    def detach(self) -> Tensor:  # type: ignore[override]
        """The same weight outside torch's graph.

        Raises:
            ConfigError: for ``nn.Parameter``, whose parameter would be of this class, without its tiles.
        """
        if sys._getframe(1).f_code is nn.Parameter.__new__.__code__:
            raise ConfigError(
                f"{self.tiles.label}: nn.Parameter (of parametrizations.weight_norm too) cannot be made of a "
                "weight that learns by pulses, whose numbers are on its tiles; take nn.Parameter("
                "layer.weight.detach().clone()), or convert with an InferenceRPUConfig"
            )
        return super().detach()

    def __deepcopy__(self, memo: dict[int, Any]) -> AnalogContext:
        tiles = copy.deepcopy(self.tiles, memo)
        copied = AnalogContext(tiles, self.dtype, self.device, self.requires_grad)
        memo[id(self)] = copied
        return copied

    def __reduce_ex__(self, protocol: Any) -> Any:
        return AnalogContext, (self.tiles, self.dtype, str(self.device), self.requires_grad)

    def __repr__(self) -> str:  # type: ignore[override]
        return f"AnalogContext({self.tiles.label}, {tuple(self.shape)})"


def _refuse_gradient(tiles: Tiles, gradient: Any) -> None:
    """An error for a gradient of numbers that were read from pulsed tiles."""
    if gradient is not None and not isinstance(gradient, PulsesWaiting):
        raise ConfigError(
            f"{tiles.label}: a gradient of the weight's numbers arrived, which pulsed devices "
            "cannot follow: they learn from what the layer reads; compute with layer.weight.detach(), name "
            "the layer in exclude_modules, or convert with an InferenceRPUConfig, trained digitally"
        )


class TrainedWeight(torch.Tensor):
    """The weight parameter of a matrix that is trained digitally and read through tiles.

    It is a parameter as torch lets tensors of other classes be one (``nn.Parameter(weight)`` is one too, in
    the same memory); its detached self is of this class, and no parameter.
    """

    _is_param: bool

    @staticmethod
    def of(values: Tensor, requires_grad: bool = True) -> nn.Parameter:
        """The parameter in the memory of ``values``."""
        made = values.detach().as_subclass(TrainedWeight).requires_grad_(requires_grad)
        made._is_param = True  # type: ignore[attr-defined]
        return cast(nn.Parameter, made)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # that there is such a method keeps torch's fused kernels away, which would pass the tiles by
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    def detach(self) -> Tensor:  # type: ignore[override]
        """The same memory outside torch's graph."""
        return plain(self).as_subclass(TrainedWeight)

    @property
    def data(self) -> Tensor:  # type: ignore[override]
        """The same memory outside torch's graph; writing to it counts as a change of the weight."""
        return plain(self)

    @data.setter
    def data(self, values: Tensor) -> None:
        torch.Tensor.data.__set__(self, values)  # type: ignore[attr-defined]

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            copied = plain(self).clone(memory_format=torch.preserve_format)
            memo[id(self)] = TrainedWeight.of(copied, self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return TrainedWeight.of, (plain(self).clone(), self.requires_grad)  # in another process: its own

    def __repr__(self) -> str:  # type: ignore[override]
        return f"TrainedWeight containing:\n{plain(self)!r}"


def plain(weight: Tensor) -> Tensor:
    """The same memory as a tensor of torch's own class, outside torch's graph."""
    with torch._C.DisableTorchFunctionSubclass():
        return torch.Tensor.detach(weight)
