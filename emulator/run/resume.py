"""What a restored run does on entering: the saved state goes onto the tiles, the model and the optimizer.

What was saved is held against what is there, name by name and type by type, before anything is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from crossgrid.kernels.errors import ConfigError, CrossgridError

from .manifest import Saved

if TYPE_CHECKING:
    from .emulation import Emulation

#: an optimizer's tensors that are shaped like their parameter
LIKE_PARAMETER = (
    "momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "sum", "square_avg", "grad_avg",
    "acc_delta", "ax",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Resume:
    """A saved run and what else goes on with it."""

    saved: Saved
    optimizer: torch.optim.Optimizer | None
    scheduler: Any
    generators: Mapping[str, torch.Generator]

    def require_all(self) -> None:
        """An error where something is to go on that was not saved, or was of another kind.

        Raises:
            ConfigError: says what.
        """
        where, saved = self.saved.directory, self.saved
        if self.optimizer is not None:
            if saved.optimizer is None:
                raise ConfigError(f"{where}: no optimizer was saved; call emulation.save(dir, optimizer)")
            _require_optimizer(where, saved.optimizer, self.optimizer)
        if self.scheduler is not None:
            if saved.scheduler is None:
                raise ConfigError(
                    f"{where}: no scheduler was saved; call emulation.save(dir, optimizer, scheduler=…)"
                )
            _alike(saved.scheduler, self.scheduler.state_dict(), f"{where}: the scheduler's state")
        missing = self.generators.keys() - saved.generators.keys()
        if missing:
            raise ConfigError(
                f"{where}: no generator {sorted(missing)[0]!r} was saved, there are {[*saved.generators]}; "
                "call emulation.save(dir, optimizer, generators={name: generator})"
            )

    def load(self, emulation: Emulation) -> None:
        """Put the saved state onto the tiles and into everything that goes on."""
        where, saved = self.saved.directory, self.saved
        for name, layer in emulation.layers:
            blocks = [[*tile.shape] for tile in layer.grid.spec.tiles]
            if blocks != saved.run["blocks"][name]:
                raise ConfigError(
                    f"{where}: layer {name} was cut into tiles {saved.run['blocks'][name]!r:.200}, "
                    f"it is cut into {blocks!r:.200} now; use the same mapping and chip"
                )
        self._require_types(emulation)
        try:
            emulation.model.load_state_dict(saved.model)
            if self.optimizer is not None:
                self.optimizer.load_state_dict(saved.optimizer or {})
            if self.scheduler is not None:
                present = self.scheduler.state_dict()
                self.scheduler.load_state_dict(_alike(saved.scheduler, present, f"{where}: the scheduler"))
        except CrossgridError:
            raise
        except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"{where}: another model was saved: {error!s:.1000}") from error
        emulation.totals.samples = saved.run["samples"]
        self._wind_generators()

    def _require_types(self, emulation: Emulation) -> None:
        """An error where a tensor was of another type: torch would convert it, to other numbers."""
        model = emulation.model
        for name, present in (
            *model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False),
        ):  # fmt: skip
            was = self.saved.model.get(name)
            if isinstance(was, Tensor) and was.dtype is not present.dtype:
                raise ConfigError(
                    f"{self.saved.directory}: {name} was saved as {was.dtype}, the model's is "
                    f"{present.dtype}; convert the model before"
                )

    def _wind_generators(self) -> None:
        saved = self.saved
        try:
            torch.set_rng_state(saved.generator)
            for name, generator in self.generators.items():
                generator.set_state(saved.generators[name])
            if saved.cards and torch.cuda.device_count() == len(saved.cards):
                torch.cuda.set_rng_state_all(saved.cards)
        except (RuntimeError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{saved.directory}: the state of a generator was not saved whole: {error!s:.120}"
            ) from error


def _require_optimizer(where: str, saved: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
    """An error where ``saved`` is no state that an optimizer like this one can go on with."""
    present, groups = optimizer.state_dict(), saved.get("param_groups")
    another = f"{where}: another optimizer was saved:"
    if not isinstance(groups, list) or len(groups) != len(present["param_groups"]):
        raise ConfigError(f"{another} its groups of parameters are {groups!r:.80}; build the same one")
    for was, now in zip(groups, present["param_groups"], strict=True):
        if not isinstance(was, dict) or was.get("params") != now["params"]:
            raise ConfigError(f"{another} it trained other parameters; build it from the same ones")
        for name, value in now.items():
            if name != "initial_lr":  # a scheduler's, which may not be there
                _alike(was.get(name), value, f"{another} its {name}")
    states = saved.get("state")
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    if not isinstance(states, dict) or not all(isinstance(state, dict) for state in states.values()):
        raise ConfigError(f"{another} its state is {states!r:.80}; build the same one")
    for number, state in states.items():
        if type(number) is not int or not 0 <= number < len(parameters):
            raise ConfigError(f"{another} it has a state of parameter {number!r:.40}")
        for name, value in state.items():
            if (
                name in LIKE_PARAMETER
                and isinstance(value, Tensor)
                and value.shape != parameters[number].shape
            ):
                raise ConfigError(
                    f"{another} {name} of parameter {number} has shape {tuple(value.shape)}, the parameter "
                    f"{tuple(parameters[number].shape)}"
                )


def _alike(saved: Any, present: Any, where: str) -> Any:
    """``saved`` as ``present`` is: the same names and types; in the containers that are there.

    Raises:
        ConfigError: it is of another kind.
    """
    if isinstance(present, Mapping) and isinstance(saved, dict):
        names = [*present] if all(isinstance(name, str) for name in present) else [*saved]
        if set(names) != set(saved):
            raise ConfigError(f"{where} has {[*saved]!r:.120}; it must have {names!r:.120}")
        held = {name: _alike(saved[name], present.get(name), f"{where}.{name}") for name in saved}
        return held if type(present) is dict else type(present)(held)  # type: ignore[call-arg]
    if isinstance(present, (list, tuple)) and isinstance(saved, (list, tuple)):
        if len(saved) == len(present):
            return type(present)(_alike(*pair, where) for pair in zip(saved, present, strict=True))
    elif present is None or saved is None or isinstance(present, bool) or isinstance(saved, bool):
        if present is None or saved is None or type(present) is type(saved):
            return saved
    elif isinstance(present, (int, float, Tensor)) and isinstance(saved, (int, float, Tensor)):
        if not isinstance(saved, float) or not math.isnan(saved):
            return saved
    elif isinstance(present, (str, bytes)) and isinstance(saved, type(present)):
        return saved
    raise ConfigError(f"{where} = {saved!r:.80} cannot stand where {present!r:.80} is")
