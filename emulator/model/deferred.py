"""Models without numbers: their parameters have shapes only, and a file gives what is in them later."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from crossgrid.kernels.errors import ConfigError

from ..analog_matrix.weights import TrainedWeight
from ..nn.deferral import deferring
from .analog_model import analog_layers, analog_matrices


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Build a model without its numbers: parameters made inside are on torch's meta device, shapes alone.

    Buffers keep their numbers: they are small, and some (rotary frequencies) are in no checkpoint.
    ``convert_to_analog`` then draws no devices, and ``emulate(model, weights=FILE_OR_DIRECTORY)`` reads each
    layer's numbers where its tiles are. Example::

        with cg.deferred():
            model = nn.Sequential(nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 4096))
        model = cg.convert_to_analog(model, cg.InferenceRPUConfig())
        with cg.emulate(model, weights="model.safetensors") as emulation:
            y = emulation.infer(x)
    """
    builder = threading.get_ident()

    def without_numbers(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        if parameter is None or parameter.is_meta or threading.get_ident() != builder:
            return None  # torch takes it as it is
        if type(parameter) is not nn.Parameter:
            return None
        return nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)

    handle = register_module_parameter_registration_hook(without_numbers)  # type: ignore[arg-type]
    try:
        with deferring():
            yield
    finally:
        handle.remove()


def is_deferred(model: nn.Module) -> bool:
    """Whether parameters or tiles of ``model`` have no numbers yet."""
    if any(parameter.is_meta for parameter in model.parameters()):
        return True
    return any(matrix.grid.is_absent for _, matrix in analog_matrices(model))


def require_numbers(model: nn.Module, given: bool) -> None:
    """An error unless numbers are ``given`` for a model that has none, and for none that has.

    Raises:
        ConfigError: says which of the two.
    """
    deferred_model = is_deferred(model)
    if deferred_model and not given:
        raise ConfigError(
            f"{type(model).__name__} has no numbers, only shapes (cg.deferred(), torch's meta device): give "
            "them with emulate(model, ..., weights=FILE_OR_DIRECTORY of safetensors)"
        )
    if given and not deferred_model:
        raise ConfigError(
            f"weights= is for models without numbers, and {type(model).__name__} has its own: build it "
            "within cg.deferred(), or call model.load_state_dict(...) and leave weights= out"
        )


def put(model: nn.Module, name: str, tensor: Tensor, numbers: Tensor) -> None:
    """Give ``numbers`` to a parameter or buffer that has a shape only; a parameter stays the same object."""
    path, _, own = name.rpartition(".")
    module = model.get_submodule(path)
    if own in module._buffers:
        module._buffers[own] = numbers
        return
    of = TrainedWeight.of if isinstance(tensor, TrainedWeight) else nn.Parameter
    made = of(numbers, requires_grad=tensor.requires_grad)
    # as torch.utils.swap_tensors, which refuses where somebody holds a weak reference (nn.LSTM does): the
    # parameter stays what that refers to
    torch._C._swap_tensor_impl(tensor, made)  # type: ignore[attr-defined]


def make_room(model: nn.Module) -> None:
    """Zeros wherever a parameter of ``model`` has no numbers: a saved run is about to give them.

    Tiles that are nowhere yet stay so: the hosts of the run get their states.
    """
    for name, parameter in [*model.named_parameters()]:
        if parameter.is_meta:
            put(model, name, parameter, torch.zeros_like(parameter, device="cpu"))
    for _, layer in analog_layers(model):
        layer.deferral = None
