"""The ways into an emulation: ``emulate`` puts a model onto a chip, ``restore`` goes on with a saved run."""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from crossgrid.chip import Chip, presets
from crossgrid.chip.mapping.strategies import STRATEGIES
from crossgrid.chip.reports.warnings import lost_bits
from crossgrid.kernels.backends import BACKENDS as KERNELS
from crossgrid.kernels.backends import BackendName
from crossgrid.kernels.card import card
from crossgrid.kernels.errors import ConfigError, nearest

from ..errors import BackendError
from ..hosts.grid import TileGrid
from ..model.analog_model import require_analog
from ..model.deferred import make_room, require_numbers
from ..model.filling import Filling
from ..nn.matrix import AnalogMatrix
from ..stages.passes.cut import Cut, Stages, cut_model
from ..stages.passes.path import path_of
from .emulation import Emulation
from .manifest import read_run
from .metrics.server import check_port
from .planned import DEFAULT_STRATEGY, MappingOptions, Wanted, knows_reuse, planned
from .resume import Resume

if sys.version_info >= (3, 11):
    from typing import Unpack
else:
    from typing_extensions import Unpack

BACKENDS = ("local", "ray")


class GoingOn(MappingOptions, total=False):
    """Further arguments of ``restore``."""

    stages: Stages | None


def emulate(
    model: nn.Module,
    chip: str | os.PathLike[str] | Chip | None = None,
    backend: Literal["local", "ray"] = "local",
    tiles_per_actor: int | Literal["auto"] | None = None,
    strategy: str = DEFAULT_STRATEGY,
    metrics_port: int | None = None,
    timeout_s: float = 60.0,
    update_delay: int = 0,
    device: BackendName = "cpu",
    example_input: Tensor | Sequence[Any] | Mapping[str, Any] | None = None,
    weights: str | os.PathLike[str] | None = None,
    stages: Stages | None = None,
    **mapping: Unpack[MappingOptions],
) -> Emulation:
    """Emulate ``model`` on ``chip``; use it as a context manager.

    Args:
        model: a model with analog layers (see ``convert_to_analog``).
        chip: a preset's name, a YAML file's path or a ``Chip``. Its tile size, ADC and DAC replace the
            configuration's. Without one, layers are cut at ``mapping.max_input_size``/``max_output_size``.
        backend: "local" keeps the tiles in this process, "ray" puts them into Ray actors. Same bits.
        tiles_per_actor: physical tiles of a chip that share an actor, or "auto": one actor a processor, or
            a card with device "cuda". By default 1, and "auto" with "cuda": each process on a card takes
            some 500 MB of it.
        strategy: how the mapper places blocks, see ``crossgrid map``.
        metrics_port: where to serve metrics for Prometheus; a free port if not given.
        timeout_s: how long a tile actor or a stage may take for one answer, or a stage for one micro-batch,
            before it is an error; a stage's answer may take a second more for each million crosspoints. One
            whose process is stopped for so long is replaced.
        update_delay: steps that pulsed updates are late by, to study asynchronous training; the bits are
            still the same wherever the tiles live. 0: every step's updates are applied before the next.
        device: where the tiles live and compute: "cpu", or "cuda": on the card of this process or, with
            backend "ray", on a share of a card for each actor. The model may be anywhere. "naive" is "cpu" by
            readable numpy instead of compiled kernels, and much slower: to find out whether a result is a
            kernel's fault.
        example_input: a batch as the model takes it: a tensor, a tuple of several, a mapping of names to them
            (``dict(input_ids=…)``), or shapes in the place of tensors. It tells how often an input passes
            through each layer and which layers read which: for the plan, its cost and strategy "replicated",
            which needs it (the numbers go through the first copy of each layer). No tile reads it. Without
            one, the run's first batch tells how often.
        weights: the numbers of a model that was built within ``cg.deferred()``: a safetensors file, or a
            directory of them with an index. They are read on entering, layer by layer; everything is, bit for
            bit, as if the model had been built with them. Tile actors read their own parts, from files that
            all nodes see; what stays in files all the time is there on leaving too, and the model deferred.
        stages: for large models with backend "ray": consecutive modules form stages, each a process that
            runs its torch modules beside their tiles and hands its values on to the next. A number of stages
            of about equal weights, which begin where the path of ``example_input`` does not come back,
            "auto": one a processor, or the names of the modules that further stages begin with. Same bits;
            train with ``train_step``, and read outputs with ``infer``.
        mapping: where the blocks are, beside ``strategy``:
            plan: a ``MappingPlan`` or the file of a saved one, from whichever mapper: what it says is what
            runs, cut by cut and tile by tile, and what the report costs. Its chip needs no name where it is a
            preset; ``strategy``, ``placement`` and ``chips`` are its own then.
            placement: "row-major" or "traffic", as in ``crossgrid map``. It changes no bit.
            chips: how many chips of this kind there are; as many as the description says by default.
            reprogram: where strategy "time-multiplexed" gives a tile several blocks in turn, its devices hold
                one at a time: a layer that comes after another one on a tile is programmed anew, with the
                noise of that programming, once for all inputs that pass it together (``micro_batch`` of
                ``infer``). By default every block has devices of its own. For inference layers.
            kinds: on a chip with several kinds of tiles, which one layers are on, by name or pattern:
                ``{"*": "coarse", "conv1": "fine", "fc": "digital"}``, the last that matches. Each layer goes
                through its kind's converters; a layer on digital cores is exact, and nothing programs or ages
                it. Others are on the chip's own tiles.

    Raises:
        ConfigError: no analog layers, a model that does not fit the chip, a plan of another model or chip, an
            argument out of range; a model without numbers and no ``weights``, or files that lack a tensor,
            have another shape or more than the model; on entering, not enough memory or processors for the
            actors.
        BackendError: Ray is not installed or does not start (on entering).
        PortError: ``metrics_port`` is taken.
    """
    return _made(
        model, chip, backend, tiles_per_actor, strategy, metrics_port, timeout_s, update_delay, device,
        example_input, weights, stages, **mapping,
    )  # fmt: skip


def _made(
    model: nn.Module, chip: str | os.PathLike[str] | Chip | None, backend: Literal["local", "ray"],
    tiles_per_actor: int | Literal["auto"] | None, strategy: str, metrics_port: int | None, timeout_s: float,
    update_delay: int, device: BackendName, example_input: Any,
    numbers: str | os.PathLike[str] | Resume | None, stages: Stages | None,
    **mapping: Unpack[MappingOptions],
) -> Emulation:  # fmt: skip
    """An emulation of a model whose numbers are its own, in files, or in a saved run."""
    if backend not in BACKENDS:
        raise ConfigError(f"backend = {backend!r} does not exist: {nearest(str(backend), BACKENDS)}")
    if tiles_per_actor is None:
        tiles_per_actor = "auto" if device == "cuda" else 1
    _require_settings(tiles_per_actor, timeout_s, update_delay)
    _require_device(device, backend)
    if backend == "ray":
        _require_ray()
    if metrics_port is not None:
        check_port(metrics_port)
    layers = require_analog(model)
    filling = None
    if not isinstance(numbers, Resume):
        require_numbers(model, given=numbers is not None)
        filling = None if numbers is None else Filling(model, numbers)
    cut = None if stages is None else _cut(model, stages, backend, device, example_input)
    wanted = Wanted.of(strategy, mapping)
    if wanted.reprogram and cut is not None:
        raise ConfigError("reprogram=True does not work with stages, which keep their tiles: leave one out")
    described = wanted.chip(chip)
    plan = None if described is None else planned(model, layers, described, wanted, example_input)
    if plan is not None and described is not None:
        for lost in lost_bits(plan, described):
            warnings.warn(f"chip '{described.name}': {lost}", stacklevel=3)
        if wanted.reprogram and any(described.described(k).digital for k in plan.layer_kind.tolist()):
            raise ConfigError(
                "reprogram=True is of tiles whose devices are programmed, and some layers are on digital "
                "cores: give these another kind, or leave reprogram out"
            )
    emulation = Emulation(
        model, described, plan, backend, tiles_per_actor, wanted.strategy, metrics_port, timeout_s,
        update_delay, device, reuse_known=knows_reuse(plan, example_input is not None), filling=filling,
        cut=cut, reprogram=wanted.reprogram,
    )  # fmt: skip
    emulation.resume = numbers if isinstance(numbers, Resume) else None
    return emulation


def _cut(model: nn.Module, stages: Stages, backend: str, device: str, example_input: Any) -> Cut:
    """Where the model is cut into stages.

    Raises:
        ConfigError: stages need processes, and processors; or there is no such cut.
    """
    if backend != "ray":
        raise ConfigError(
            f"stages = {stages!r} are processes of their own: use backend='ray', or leave it out"
        )
    if device != "cpu":
        raise ConfigError(
            f"stages = {stages!r} with device = {device!r}: stages run on processors; use 'cpu'"
        )
    processors = os.cpu_count() or 1
    cut = cut_model(model, stages, processors)
    if cut.count == 1 or not isinstance(stages, (int, str)):
        return cut
    return cut_model(model, stages, processors, path_of(model, example_input))


def _require_settings(tiles_per_actor: Any, timeout_s: Any, update_delay: Any) -> None:
    """Errors for what no run can have."""
    if tiles_per_actor != "auto" and (
        isinstance(tiles_per_actor, bool) or not isinstance(tiles_per_actor, int) or tiles_per_actor < 1
    ):
        raise ConfigError(f"tiles_per_actor = {tiles_per_actor!r} must be a number of at least 1, or 'auto'")
    if isinstance(update_delay, bool) or not isinstance(update_delay, int) or update_delay < 0:
        raise ConfigError(f"update_delay = {update_delay!r} must be a number of steps, 0 or more")
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or not timeout_s > 0:
        raise ConfigError(f"timeout_s = {timeout_s!r} must be a number of seconds above 0")


def _require_device(device: str, backend: str) -> None:
    if device not in tuple(KERNELS):
        raise ConfigError(f"device = {device!r} does not exist: {nearest(str(device), KERNELS)}")
    if device != "cuda":
        return
    if importlib.util.find_spec("triton") is None:
        raise ConfigError(
            "device='cuda' needs Triton, which is not installed: pip install 'crossgrid[cuda]', "
            "or use device='cpu'"
        )
    if backend == "local":
        card()  # of other nodes only Ray knows


def _require_ray() -> None:
    for module in ("ray", "zmq"):
        if importlib.util.find_spec(module) is None:
            raise BackendError(
                f"backend='ray' needs the package {module}, which is not installed: "
                "pip install 'crossgrid[ray]', or use backend='local'"
            )


def restore(
    directory: str | os.PathLike[str],
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    *,
    scheduler: Any = None,
    generators: Mapping[str, torch.Generator] | None = None,
    chip: str | os.PathLike[str] | Chip | None = None,
    backend: Literal["local", "ray"] = "local",
    tiles_per_actor: int | Literal["auto"] | None = None,
    metrics_port: int | None = None,
    timeout_s: float = 60.0,
    device: BackendName = "cpu",
    example_input: Tensor | Sequence[Any] | Mapping[str, Any] | None = None,
    **mapping: Unpack[GoingOn],
) -> Emulation:
    """The run that ``emulation.save(directory)`` wrote, as a context manager: it goes on with the same bits.

    Args:
        directory: where the run was saved.
        model: the same analog model, built anew, with or without numbers (``cg.deferred()``); it takes
            over the saved weights on entering.
        optimizer, scheduler: its optimizer and scheduler; they take over the saved states on entering.
        generators: those whose states were saved, by the names that they were saved under.
        chip: the chip of the run where it is no preset.
        backend, tiles_per_actor, metrics_port, timeout_s, device: as for ``emulate``; they may differ from
            the run's; a card's results are a processor's up to float32's rounding.
        example_input: as for ``emulate``; a run with strategy "replicated" needs it again.
        mapping: stages, plan, placement, chips and kinds as for ``emulate``; a run on a plan of another
            mapper needs it again. Kinds are the run's by default.

    On entering, torch's default generator also goes on where it was. ``batch`` of what is returned is the
    number of batches that ``save`` was given.

    Raises:
        ConfigError: nothing was saved there, it is damaged, or it was another model, chip or optimizer.
        StorageError: it cannot be read.
    """
    saved = read_run(directory)
    run, resume = saved.run, Resume(saved, optimizer, scheduler, generators or {})
    resume.require_all()
    if chip is None:
        chip = _chip_of(directory, run["chip"])
    _take_keys(directory, run["keys"], require_analog(model))
    make_room(model)
    strategy = run["strategy"] if mapping.get("plan") is None else DEFAULT_STRATEGY
    if strategy not in STRATEGIES:
        raise ConfigError(f"{directory}: the run was on a plan of '{strategy}'; give it as plan=")
    if mapping.get("plan") is None and mapping.get("kinds") is None:
        mapping["kinds"] = run.get("kinds")
    stages = mapping.pop("stages", None)
    placed: Any = mapping
    emulation = _made(
        model, chip, backend, tiles_per_actor, strategy, metrics_port, timeout_s, run["update_delay"], device,
        example_input, resume, stages, **placed,
    )  # fmt: skip
    if emulation.plan is not None and emulation.plan.chip_identity != run["chip_identity"]:
        raise ConfigError(f"{directory}: the run was on another chip than '{emulation.plan.chip}' is now")
    return emulation


def _take_keys(
    directory: str | os.PathLike[str], keys: dict[str, Any], layers: list[tuple[str, AnalogMatrix]]
) -> None:
    """Give the layers the devices of the saved ones, which must be of the same names."""
    names = [name for name, _ in layers]
    if names != list(keys):
        raise ConfigError(f"{directory}: the saved layers are {list(keys)}, the model's are {names}")
    for name, layer in layers:
        if layer.grid.spec.key != keys[name]:
            layer.analog_tile.grid = TileGrid.absent(replace(layer.grid.spec, key=keys[name]))


def _chip_of(directory: str | os.PathLike[str], name: str | None) -> str | None:
    """The saved run's chip, which only presets have by name alone."""
    if name is not None and name not in presets():
        raise ConfigError(f"{directory}: the run was on the chip '{name}'; give it as chip=")
    return name
