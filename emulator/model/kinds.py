"""Which modules go onto tiles: asked when a model is converted, and when one is mapped and costed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized

from ..nn.base import AnalogLayer
from ..nn.experts.layout import layout_of, stacks_of

#: torch's layers that have an analog twin, and how many sizes make one
KINDS: dict[type[nn.Module], int] = {
    nn.Linear: 2, nn.Conv1d: 3, nn.Conv2d: 3, nn.Conv3d: 3, nn.ConvTranspose1d: 3, nn.ConvTranspose2d: 3,
    nn.ConvTranspose3d: 3, nn.RNN: 2, nn.LSTM: 2, nn.GRU: 2, nn.RNNCell: 2, nn.LSTMCell: 2, nn.GRUCell: 2,
    nn.MultiheadAttention: 2, nn.Bilinear: 3,
}  # fmt: skip

#: torch's layers that multiply by a weight matrix
MULTIPLY = (nn.Linear, _ConvNd, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention, nn.Bilinear)

#: what holds parameters for a module that computes with them
LISTS = (nn.ParameterList, nn.ParameterDict)

#: stands for Hugging Face's ``Conv1D``, a linear layer that keeps its weight as [in, out]
TRANSPOSED = "Conv1D"

#: stands for modules with parameters [experts, ...], whose forward pass reads one expert after the other
EXPERTS = "experts"


def kind_of(module: nn.Module, trained: bool = False) -> Any:
    """The torch layer whose analog twin takes the place of ``module``; None where it stays digital.

    ``trained`` says that weights are trained digitally: then one may be computed from others.

    A subclass counts where it computes what its class does. Hugging Face's ``Conv1D`` is known by its name,
    so that transformers need not be installed.
    """
    return None if why_digital(module, trained) else _class_of(module)


def why_digital(module: nn.Module, trained: bool = False) -> str | None:
    """Why a module stays digital, see ``kind_of``; None: it goes onto tiles."""
    kind = _class_of(module)
    if kind is None:
        return _why_unknown(module)
    computed = set(module.parametrizations) if is_parametrized(module) else set()  # type: ignore[arg-type]
    alone = kind in (EXPERTS, TRANSPOSED, nn.MultiheadAttention)  # computed weights have no twin there
    plain, held = _plain(module), {*module._parameters} | computed
    if (computed and alone) or (kind is not EXPERTS and not plain <= held):
        return "its weight is computed from others (parametrization, pruning): remove that first"
    if kind is not EXPERTS and held != plain:
        return f"its class has parameters of its own ({', '.join(sorted(held - plain))})"
    if computed and not trained:
        return (
            "its weight is computed from others (parametrization), and pulses would move it alone: convert "
            "it with an InferenceRPUConfig, or remove that first"
        )
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in module._parameters.values()):
        return "its weight has no shape yet: run the model once"
    if any(p is not None and p.is_complex() for p in module._parameters.values()):
        return "its weights are complex numbers"
    if kind is EXPERTS:
        return None if layout_of(module) is not None else _unknown_layout(module)
    if kind is not TRANSPOSED and type(module).forward is not kind.forward:
        return f"its class computes something else than {kind.__name__}"
    return None


def placed_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers of ``model`` that go onto tiles, by name; none within another one, but for experts, whose
    other layers are layers of their own."""
    within = "\0"
    for name, module in model.named_modules():
        if not name.startswith(within) and kind_of(module) is not None:
            if _class_of(module) is not EXPERTS:
                within = f"{name}." if name else ""
            yield name, module


def digital_because(model: nn.Module) -> dict[str, str]:
    """The modules that multiply by weights and are no analog layers, by name, with the reason."""
    reasons: dict[str, str] = {}
    total = sum(p.numel() for p in model.parameters() if not nn.parameter.is_lazy(p))
    for name, module in model.named_modules():
        within = any(name.startswith(f"{other}.") for other in reasons)
        listed = isinstance(module, LISTS) and bool(stacks_of(module))  # its owner multiplies by them
        if (multiplies(module) or listed) and not within:
            reason = why_digital(module) or "it was left digital"
            if listed or _class_of(module) is EXPERTS:
                held = sum(p.numel() for p in stacks_of(module).values())
                reason += f", {100 * held / total:.3g} % of the model's weights"
            reasons[name] = reason
    return reasons


def multiplies(module: nn.Module) -> bool:
    """Whether ``module`` is one of torch's layers that multiply by a weight matrix, or after one."""
    return not isinstance(module, AnalogLayer) and (
        isinstance(module, MULTIPLY) or _class_of(module) is not None
    )


def _class_of(module: nn.Module) -> Any:
    if type(module).__name__ == "Conv1D" and type(module).__module__.startswith("transformers."):
        return TRANSPOSED
    if type(module) is NonDynamicallyQuantizableLinear:  # attention reads its weight past it
        return None
    if isinstance(module, MULTIPLY):
        return next((kind for kind in KINDS if isinstance(module, kind)), None)
    of_torch = type(module).__module__.startswith("torch.")  # lists of parameters, parametrizations
    return EXPERTS if stacks_of(module) and not of_torch else None


def _why_unknown(module: nn.Module) -> str:
    """Why a module that is none of the known kinds stays digital."""
    if isinstance(module, ParametrizationList):
        return "a weight is computed from it (parametrization)"
    own = [name for name, p in module._parameters.items() if p is not None and p.dim() > 1]
    if own and isinstance(module, LISTS):
        return f"how its owner multiplies by {', '.join(own)} of it is not known"
    if not own or isinstance(module, (*MULTIPLY, nn.Embedding, nn.EmbeddingBag)):
        return "no analog layer for it"
    return f"its own class computes with {', '.join(own)}, in a way that is not known"


def _unknown_layout(module: nn.Module) -> str:
    """Why experts stay digital."""
    stacks = ", ".join(f"{name} {[*p.shape]}" for name, p in stacks_of(module).items())
    return (
        f"how it multiplies by {stacks} is not known: tiles read linear(x, w[expert]), x @ w[expert] or "
        "bmm(x, w) in the forward pass of experts"
    )


def _plain(module: nn.Module) -> set[str]:
    """The parameters that a layer has as torch makes it."""
    if isinstance(module, nn.RNNBase):
        return {name for names in module._all_weights for name in names}
    if isinstance(module, nn.MultiheadAttention):
        return {
            "in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias",
            "bias_k", "bias_v",
        } & {*module._parameters}  # fmt: skip
    if isinstance(module, nn.RNNCellBase):
        return {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}
    return {"weight", "bias"}
