"""One pass of a model of which a process has a part: the rest of it runs on shapes, on torch's meta device.

The model's own ``forward`` runs in every stage, from its beginning. Modules of earlier stages get and give
shapes; where the first module of this stage is called, the values that the stage before handed over take the
place of theirs, and what follows computes. Where the first module of the next stage is called, the pass is
left, and the values that are still needed go on. What depends on the input alone (positions, masks) computes
everywhere. Values are known by when they were made: how many modules that are in one stage had been called,
and how many operations followed. Every stage runs the same code, so the numbers are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten
from torch.utils.weak import WeakTensorKeyDictionary

from crossgrid.kernels.errors import ConfigError

from ...nn.base import AnalogLayer
from ...nn.matrix import AnalogMatrix
from .cut import Cut

#: what asks a tensor for no numbers
SHAPES_ALONE = frozenset(
    {
        "shape",
        "dtype",
        "ndim",
        "layout",
        "requires_grad",
        "size",
        "dim",
        "numel",
        "stride",
        "is_floating_point",
    }
)

#: outputs of foreign modules whose shapes are remembered
REMEMBERED = 4096


class HandOver(Exception):
    """A module of the next stage was called: this stage is done with the pass."""


class Branches(ConfigError):
    """A module of an earlier stage was called: no stage gives back what it handed on."""


@dataclass(slots=True)
class Needs:
    """Which values each stage is handed: found by a pass on shapes alone."""

    made_in: dict[str, int] = field(default_factory=dict)
    used_in: dict[str, int] = field(default_factory=dict)  # the last stage that does

    def crossing(self, stage: int) -> tuple[str, ...]:
        """What comes from the stages before ``stage`` and is used in it, or behind it."""
        return tuple(name for name, last in self.used_in.items() if self.made_in[name] < stage <= last)


class Pass(TorchFunctionMode):
    """One pass: gives values their names, and puts those that were handed over in the place of shapes.

    ``stage`` is that of this process; None: nobody computes, and ``needs`` is found out.
    """

    def __init__(
        self,
        cut: Cut,
        stage: int | None,
        received: Mapping[str, Tensor],
        wanted: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__()
        self.cut, self.stage, self.received, self.wanted = cut, stage, received, wanted
        self.needs = Needs()
        self.now = 0  # the stage of the module that was called last
        self.live = stage == 0
        self.within = 0  # modules that are in one stage, around what runs
        self.held = {name: value for name, value in received.items() if name in wanted}  # for the next stage
        self._names: Any = WeakTensorKeyDictionary()
        self._calls = self._operations = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.within:
            if not self.live:
                args, kwargs = _all_shapes((args, kwargs))
            return func(*args, **kwargs)
        name = func.__self__.__name__ if getattr(func, "__name__", "") == "__get__" else func.__name__
        if name == "device":  # so that what depends on no foreign module computes, in every stage
            found = func(*args, **kwargs)
            return torch.device("cpu") if found.type == "meta" else found
        args, kwargs = self.taken((args, kwargs), numbers=name not in SHAPES_ALONE)
        if name == "to" and args[0].is_meta:
            args, kwargs = _staying(args, kwargs)
        result = func(*args, **kwargs)
        self._operations += 1
        self.name(result)
        return result

    def name(self, values: Any) -> None:
        """Give the tensors among ``values`` their names, unless they have them."""
        for place, leaf in enumerate(tree_flatten(values)[0]):
            if isinstance(leaf, Tensor):
                name = f"{self._calls}.{self._operations}.{place}"
                self._names[leaf] = name
                self.needs.made_in[name] = self.now
                if self.live and name in self.wanted:
                    self.held[name] = leaf

    def taken(self, values: Any, numbers: bool = True) -> Any:
        """``values`` as they are used now: shapes of earlier stages become what was handed over."""
        if not self.live:
            values = _all_shapes(values)
        if self.stage is None and numbers:
            for leaf in tree_flatten(values)[0]:
                if isinstance(leaf, Tensor) and leaf.is_meta and leaf in self._names:
                    self.needs.used_in[self._names[leaf]] = self.now
        if not self.live or self.stage == 0:
            return values
        return tree_map_only(Tensor, lambda leaf: self._real(leaf, numbers), values)

    def _real(self, leaf: Tensor, numbers: bool) -> Tensor:
        if not leaf.is_meta:
            return leaf
        name = self._names.get(leaf)
        if name in self.received:
            return self.received[name]
        if not numbers:
            return leaf
        raise ConfigError(
            f"stage {self.stage} of the model uses a tensor of shape {tuple(leaf.shape)} that a stage before "
            "it made and did not hand over: its forward pass takes another path than on shapes; begin the "
            "stages elsewhere (stages=[names])"
        )

    def enter(self, name: str, values: Any) -> Any:
        """The module ``name``, which is in one stage, is called with ``values``.

        Raises:
            HandOver: it is in the next stage.
            Branches: it is in an earlier one.
        """
        if self.within:
            self.within += 1
            return values
        self.reach(name)
        values = self.taken(values)
        self.within += 1
        return values

    def reach(self, name: str) -> None:
        """The pass is at the module ``name`` now; raises as ``enter``."""
        stage = self.cut.parts[name]
        if stage < self.now:
            raise Branches(
                f"{name} is in stage {stage} of the model and is called after modules of stage {self.now}: "
                "its path branches across stages"
            )
        self.now = stage
        if self.stage is not None:
            if stage > self.stage:
                raise HandOver
            self.live = stage == self.stage

    def leave(self, output: Any) -> None:
        """It is done."""
        self.within -= 1
        if not self.within:
            self._calls, self._operations = self._calls + 1, 0
            self.name(output)


def _staying(args: Any, kwargs: Any) -> Any:
    """Arguments of ``Tensor.to`` that leave a tensor without numbers where it is."""
    devices = (torch.device, str)
    meta = tuple("meta" if isinstance(each, devices) else each for each in args)
    return meta, {key: "meta" if isinstance(each, devices) else each for key, each in kwargs.items()}


def _all_shapes(values: Any) -> Any:
    """``values`` without numbers, where there are none in some of them: the two do not mix."""
    leaves, tree = tree_flatten(values)
    if not any(isinstance(leaf, Tensor) and leaf.is_meta for leaf in leaves):
        return values
    return tree_unflatten(
        [leaf.to("meta") if isinstance(leaf, Tensor) and not leaf.is_meta else leaf for leaf in leaves], tree
    )


class Passages:
    """A model that passes go through, as one of its stages sees it; None: nobody computes."""

    def __init__(self, model: nn.Module, cut: Cut, stage: int | None) -> None:
        self.model, self.cut, self.stage = model, cut, stage
        self._pass: Pass | None = None
        self._handles: list[Any] = []
        self.install()

    def install(self) -> None:
        """Listen to the modules, and let those of other stages give shapes."""
        for name, of_stage in self.cut.parts.items():
            module = self.model.get_submodule(name)
            self._handles += [
                module.register_forward_pre_hook(self._before(name), with_kwargs=True),
                module.register_forward_hook(self._after),
            ]
            if of_stage != self.stage:
                self._stand_in(module)
            if self.stage is None:
                self._watch_inside(name, module)

    def _watch_inside(self, name: str, module: nn.Module) -> None:
        """Refuse calls of what is in a module past the module's own forward: nobody would stand in for it."""

        def before(inner: nn.Module, args: Any) -> None:
            if self._pass is not None and not self._pass.within:
                raise ConfigError(
                    f"parts of {name} ({type(inner).__name__}, ...) are called, and not it as a whole, so "
                    "no stage can leave it out: keep them in an nn.ModuleList, or begin a stage within it "
                    "(stages=[names])"
                )

        for inner in module.modules():
            if inner is not module and any(True for _ in inner.parameters()):
                self._handles.append(inner.register_forward_pre_hook(before))

    def _before(self, name: str) -> Callable[..., Any]:
        def before(module: nn.Module, args: Any, kwargs: Any) -> Any:
            if self._pass is None:
                return None
            with torch._C.DisableTorchFunction():  # what is asked here of tensors is no part of the pass
                return self._pass.enter(name, (args, kwargs))

        return before

    def _after(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._pass is not None:
            with torch._C.DisableTorchFunction():
                self._pass.leave(output)

    def _stand_in(self, module: nn.Module) -> None:
        """Let a module of another stage give shapes, those of before where its inputs' are as before."""
        forward, known = module.forward, dict[Any, Any]()
        for part in module.modules():
            if isinstance(part, AnalogLayer):
                for matrix in part.matrices().values():
                    matrix.analog_tile.forward = _shapes_of(matrix)  # type: ignore[method-assign]

        def on_shapes(*args: Any, **kwargs: Any) -> Any:
            args, kwargs = tree_map_only(Tensor, lambda leaf: leaf.to("meta"), (args, kwargs))
            leaves, tree = tree_flatten((args, kwargs))
            key = tuple((tuple(v.shape), v.dtype) if isinstance(v, Tensor) else v for v in leaves)
            try:
                found = known.get((key, str(tree)))
            except TypeError:  # something that has no hash
                with torch.no_grad():
                    return forward(*args, **kwargs)
            if found is None:
                with torch.no_grad():
                    found = forward(*args, **kwargs)
                if len(known) < REMEMBERED:
                    known[key, str(tree)] = found
            return tree_map_only(Tensor, torch.empty_like, found)

        module.forward = on_shapes  # type: ignore[method-assign]
        self._handles.append(_Restored(module))

    def remove(self) -> None:
        """Leave the model as it was."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def find_needs(self, x: Tensor) -> tuple[Needs, Any]:
        """What stages hand over, and an output: shapes alone.

        Raises:
            ConfigError: the path of a pass depends on numbers.
            Branches: or it goes back to an earlier stage.
        """
        passing = Pass(self.cut, None, {})
        try:
            output = self.through(passing, x)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(
                f"an input of shape {tuple(x.shape)} does not pass through the stages of the model on shapes "
                f"alone ({type(error).__name__}: {' '.join(str(error).split())!s:.200}); leave stages= out"
            ) from error
        passing.now = self.cut.count - 1
        passing.taken(output)
        return passing.needs, output

    def run(
        self, x: Tensor, received: Mapping[str, Tensor], wanted: frozenset[str], learns: bool = False
    ) -> Any:
        """This stage's part of a pass: the values that the next one needs by name, or the model's output.

        ``learns``: with torch's graph, to go backward.
        """
        passing = Pass(self.cut, self.stage, received, wanted)
        try:
            output = self.through(passing, x, learns)
        except HandOver:
            return passing.held
        return passing.taken(output)

    def through(self, passing: Pass, x: Tensor, learns: bool = False) -> Any:
        """The model's output of a pass; one of no stage is on shapes alone."""
        self._pass = passing
        try:
            passing.name(x)
            with torch.set_grad_enabled(learns), passing:
                return self.model(x)
        finally:
            self._pass = None


@dataclass(slots=True)
class _Restored:
    """A module whose own forward pass comes back."""

    module: nn.Module

    def remove(self) -> None:
        """Let it compute again."""
        vars(self.module).pop("forward", None)
        for part in self.module.modules():
            if isinstance(part, AnalogLayer):
                for matrix in part.matrices().values():
                    vars(matrix.analog_tile).pop("forward", None)


def _shapes_of(matrix: AnalogMatrix) -> Callable[..., Tensor]:
    """What stands for reading the tiles of a matrix: results of their shape."""

    def read(
        x: Tensor, weight: Tensor, bias: Tensor | None = None, positions: tuple[int, ...] | None = None
    ) -> Tensor:
        return x.new_empty(matrix.grid.spec.output_shape(x.shape, positions), device="meta")

    return read
