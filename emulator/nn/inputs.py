"""What an analog layer reads: which inputs are refused, and of which type the others are taken."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch._subclasses.fake_tensor import FakeTensor

from crossgrid.kernels.errors import ConfigError, InputError

Forward = TypeVar("Forward", bound=Callable[..., Any])


def eager(forward: Forward) -> Forward:
    """``forward``, which ``torch.compile`` leaves out of its graphs: tiles are no torch code.

    The compiler is asked only where it is loaded, which takes seconds, and told only where it is at work,
    which takes longer than all checks of an input.
    """
    left_out = torch._disable_dynamo(forward)  # type: ignore[attr-defined]

    @functools.wraps(forward)
    def outside_graphs(*args: Any, **kwargs: Any) -> Any:
        if "torch._dynamo" in sys.modules and (torch.compiler.is_compiling() or _compiles_frames()):
            break_graph()
            return left_out(*args, **kwargs)
        return forward(*args, **kwargs)

    return outside_graphs  # type: ignore[return-value]


def _compiles_frames() -> bool:
    """Whether the compiler is called for each function that is entered; older ones cannot be asked."""
    callback = getattr(torch._C._dynamo.eval_frame, "get_eval_frame_callback", None)
    return callback is None or callback() is not None


def break_graph() -> None:
    """End the graph that ``torch.compile`` is tracing; with ``fullgraph=True`` that is its error."""
    if torch.compiler.is_dynamo_compiling():
        torch._dynamo.graph_break(
            msg="analog tiles are no torch code; leave fullgraph=True out: what is between analog layers is "
            "compiled, and they are left out of the graphs"
        )


def require_input(name: str, x: Any) -> None:
    """An error where the layer ``name`` cannot read ``x``: no tensor of real numbers is there."""
    plain = type(x) is Tensor and x.dtype is torch.float32 and x.layout is torch.strided
    if plain and not (x.is_nested or is_functorch_wrapped_tensor(x) or torch._C._get_tracing_state()):
        return  # the ordinary case, asked first
    if not isinstance(x, Tensor):
        if type(x).__module__.startswith("torch.fx"):
            raise ConfigError(
                f"{name}: torch.fx cannot look into analog tiles; make analog layers leaves of the trace "
                "(a Tracer whose is_leaf_module says so), or trace the digital model"
            )
        raise InputError(f"{name}: an input of type {type(x).__name__}; a tensor is needed")
    if isinstance(x, FakeTensor):
        raise ConfigError(
            f"{name}: torch.export and fake tensors cannot look into analog tiles, which compute with "
            "numbers; export cg.convert_to_digital(model)"
        )
    if is_functorch_wrapped_tensor(x):
        raise ConfigError(
            f"{name}: torch.func's transforms (vmap, grad, jvp, jacrev) cannot look into analog tiles; give "
            "the layer whole batches and differentiate with backward() or torch.autograd.grad"
        )
    if torch.jit.is_tracing():  # type: ignore[attr-defined]
        raise ConfigError(
            f"{name}: torch.jit.trace cannot look into analog tiles; trace cg.convert_to_digital(model)"
        )
    if x.is_nested:
        raise InputError(
            f"{name}: a nested tensor; tiles read vectors of one shape: x.to_padded_tensor(0.0), with a mask "
            "where the model takes one"
        )
    if x.layout is not torch.strided:
        raise InputError(f"{name}: an input of layout {x.layout}; analog tiles read dense ones: x.to_dense()")
    if not x.is_floating_point():
        what = "complex" if x.is_complex() else str(x.dtype)
        raise InputError(
            f"{name}: an input of {what} numbers; analog tiles read floating-point ones: x.float()"
        )


def in_autocast_type(x: Tensor) -> Tensor:
    """``x`` in the type that torch's own layers would compute with where autocast is on."""
    if not torch._C._is_any_autocast_enabled():
        return x
    kind = x.device.type
    if x.is_meta or not torch.is_autocast_enabled(kind) or x.dtype is torch.float64:
        return x
    return x.to(torch.get_autocast_dtype(kind))
